// After a worker's first record, coding and decoding allocate nothing: the data plane counts on it.
#include <gtest/gtest.h>

#include <vector>

#include "codec/codec.h"
#include "codec/kv_sample.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

struct Worker {
  std::vector<std::byte> symbols = std::vector<std::byte>(kSymbolBytesMax);
  std::vector<std::byte> scales = std::vector<std::byte>(kScaleBytesMax);
  std::vector<std::byte> record = std::vector<std::byte>(kRecordBytesMax);
  std::vector<std::byte> values = std::vector<std::byte>(kPartValueBytesMax);
  EncodePlan plan;
  RecordView view;
  CoderWorkspace workspace;

  bool trip(const Profile& profile, const PartShape& shape, SealKind kind, std::span<const std::byte> input) {
    const ChunkKey key{}, seal{};
    if (!quantize_part(profile, shape, input, symbols, scales, plan)) return false;
    const auto size = compress_part(plan, profile, key, kind, seal, symbols, scales, workspace, record);
    if (!size || !open_record(std::span(record).first(*size), shape, key, seal, view)) return false;
    for (uint32_t i = 0; i < view.frame_count(); ++i) {
      const auto& frame = view.frame(i);
      const auto room = std::span(symbols).subspan(frame.symbol_offset, frame.entry.symbol_bytes);
      if (!workspace.decode(static_cast<CoderId>(frame.entry.coder), frame.coded, room)) return false;
      if (!dequantize_frame(view, i, room, values)) return false;
    }
    return true;
  }
};

TEST(Allocation, NoneAfterTheFirstRecord) {
  if (!heap_is_watched()) GTEST_SKIP() << "the allocation watch is not part of this build";
  Worker worker;
  const PartShape small = part_shape({2, 1, 32, 16, ElementType::kBf16}, 0);
  const PartShape large = part_shape({8, 8, 128, 256, ElementType::kFp16}, 0);
  const auto small_values = kv_sample(small, 1), large_values = kv_sample(large, 2);
  std::vector<Profile> profiles;
  for (const char* name : {"raw", "raw+zstd", "raw+deflate", "int8", "int8+deflate", "kv4", "kv4+deflate",
                           "cachegen", "cachegen+deflate"}) {
    profiles.push_back(*profile_from_name(name));
  }
  // Warm up with the smallest record only: what comes later is larger and of other kinds.
  ASSERT_TRUE(worker.trip(profiles[0], small, SealKind::kXxh3, small_values));
  ASSERT_TRUE(worker.trip(profiles[0], small, SealKind::kGmac, small_values));
  const uint64_t before = frozen_allocations();
  bool good = true;
  freeze_heap_on_this_thread();
  for (int round = 0; round < 3; ++round) {
    for (const Profile& profile : profiles) {
      for (const SealKind kind : {SealKind::kXxh3, SealKind::kGmac}) {
        good &= worker.trip(profile, large, kind, large_values);
        good &= worker.trip(profile, small, kind, small_values);
      }
    }
  }
  // The libraries' heuristics for shrinking idle contexts wake up after many small inputs.
  for (int round = 0; round < 300; ++round)
    good &= worker.trip(profiles[5], small, SealKind::kXxh3, small_values);
  thaw_heap_on_this_thread();
  EXPECT_TRUE(good);
  EXPECT_EQ(frozen_allocations() - before, 0u);
}

}  // namespace
}  // namespace shadowserve
