// Decoding in one pass against decompression and the dequantizer's scalar oracle, on every SIMD target.
#include "codec/frame_decoder.h"

#include <gtest/gtest.h>

#include <vector>

#include "codec/frame_kernel.h"
#include "codec/kv_sample.h"
#include "hwy/highway.h"

namespace shadowserve {
namespace {

constexpr ChunkKey kKey{};
constexpr size_t kGuard = 64;

const KvGeometry kShapes[] = {
    {2, 1, 256, 256, ElementType::kFp16}, {2, 8, 128, 256, ElementType::kBf16},
    {1, 3, 80, 200, ElementType::kBf16},  {1, 1, 129, 256, ElementType::kFp16},
    {2, 1, 64, 48, ElementType::kBf16},   {1, 64, 128, 20, ElementType::kFp16},
};
const char* const kProfiles[] = {"kv4",         "cachegen", "kv4+zstd", "kv4+none",
                                 "kv4+deflate", "int8",     "raw",      "raw+zstd"};

struct Record {
  std::vector<std::byte> bytes;
  RecordView view;
};

Record record_of(const char* profile, const PartShape& shape) {
  Record record;
  record.bytes.resize(kRecordBytesMax);
  const auto size = encode_part(*profile_from_name(profile), shape, kKey, SealKind::kXxh3, ChunkKey{},
                                kv_sample(shape, 5), record.bytes);
  EXPECT_TRUE(size);
  record.bytes.resize(size.value_or(0));
  EXPECT_TRUE(open_record(record.bytes, shape, kKey, ChunkKey{}, record.view));
  return record;
}

/// The two steps apart, the second by its definition.
std::vector<std::byte> expected_values(const Record& record, const PartShape& shape) {
  CoderWorkspace workspace;
  std::vector<std::byte> values(shape.value_bytes()), symbols(kFrameBytesMax);
  for (uint32_t i = 0; i < record.view.frame_count(); ++i) {
    const RecordView::Frame& frame = record.view.frame(i);
    const auto room = std::span(symbols).first(frame.entry.symbol_bytes);
    EXPECT_TRUE(workspace.decode(static_cast<CoderId>(frame.entry.coder), frame.coded, room));
    dequantize_frame_oracle(FrameShape::of(frame.entry, shape.geometry),
                            reinterpret_cast<const uint8_t*>(symbols.data()),
                            reinterpret_cast<const uint8_t*>(frame.scales.data()),
                            reinterpret_cast<uint8_t*>(values.data()) + frame.value_offset);
  }
  return values;
}

class FrameDecoderOnTargets : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(FrameDecoderOnTargets, OnePassGivesWhatTwoStepsGive) {
  CoderWorkspace workspace;
  FrameDecoder decoder(workspace);
  for (const KvGeometry& geometry : kShapes) {
    const PartShape shape = part_shape(geometry, 0);
    for (const char* profile : kProfiles) {
      SCOPED_TRACE(std::string(profile) + " " + std::to_string(geometry.channels()));
      const Record record = record_of(profile, shape);
      const auto expected = expected_values(record, shape);
      // An aligned destination takes the way past the caches, one that is off by an element cannot.
      for (const size_t shift : {size_t{0}, size_t{2}}) {
        for (const ValueStores stores : {ValueStores::kCached, ValueStores::kStreaming}) {
          std::vector<std::byte> room(shape.value_bytes() + 3 * kGuard, std::byte{0xa5});
          const auto base = reinterpret_cast<uintptr_t>(room.data());
          const size_t first = (kGuard - base % kGuard) % kGuard + kGuard + shift;
          const auto values = std::span(room).subspan(first, shape.value_bytes());
          for (uint32_t i = 0; i < record.view.frame_count(); ++i) {
            ASSERT_TRUE(decoder.decode(record.view, i, values, stores));
          }
          finish_streaming();
          ASSERT_TRUE(std::equal(values.begin(), values.end(), expected.begin())) << shift;
          for (size_t i = 0; i < room.size(); ++i) {
            const bool inside = i >= first && i < first + values.size();
            ASSERT_TRUE(inside || room[i] == std::byte{0xa5}) << i;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, FrameDecoderOnTargets,
                         ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return hwy::TargetName(info.param); });

TEST(FrameDecoder, DamageBehindTheSealIsNoticed) {
  const PartShape shape = part_shape(kShapes[0], 0);
  Record record = record_of("kv4", shape);
  ASSERT_EQ(record.view.frame(0).entry.coder, static_cast<uint8_t>(CoderId::kRans));
  CoderWorkspace workspace;
  FrameDecoder decoder(workspace);
  std::vector<std::byte> values(shape.value_bytes());
  ASSERT_TRUE(decoder.decode(record.view, 0, values, ValueStores::kCached));
  const auto coded = record.view.frame(0).coded;
  record.bytes[static_cast<size_t>(coded.data() - record.bytes.data()) + coded.size() / 2] ^= std::byte{1};
  const auto damaged = decoder.decode(record.view, 0, values, ValueStores::kCached);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error(), Error::kRecordMalformed);
}

}  // namespace
}  // namespace shadowserve
