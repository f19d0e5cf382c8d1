// Opening records: every check refuses what it is there for, and says so with the right error.
#include "chunk/record.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "chunk/record_frames.h"

namespace shadowserve {
namespace {

const KvGeometry kGeometry{2, 2, 4, 8, ElementType::kBf16};
constexpr ChunkKey kKey{std::byte{7}};
constexpr ChunkKey kSeal{std::byte{9}};
ChunkKey salted_seal() {
  ChunkKey seal = kSeal;
  seal.back() = std::byte{0x80};
  return seal;
}

struct Draft {
  RecordHeader header{};
  std::vector<FrameEntry> frames;
  std::vector<std::vector<std::byte>> scales, coded;

  /// Lays the record out, with sizes that fit; `twist` may spoil it before it is sealed.
  std::vector<std::byte> finish(
      SealKind kind = SealKind::kXxh3, const ChunkKey& seal = kSeal,
      const std::function<void(RecordHeader&, std::vector<FrameEntry>&)>& twist = {}) const {
    RecordHeader head = header;
    std::vector<FrameEntry> table = frames;
    std::vector<std::byte> bytes(sizeof head + table.size() * sizeof(FrameEntry));
    for (size_t i = 0; i < table.size(); ++i) {
      bytes.resize(align_up(bytes.size(), kScaleAlign));
      bytes.insert(bytes.end(), scales[i].begin(), scales[i].end());
      bytes.insert(bytes.end(), coded[i].begin(), coded[i].end());
    }
    head.frame_count = static_cast<uint32_t>(table.size());
    head.header_bytes = static_cast<uint32_t>(sizeof head + table.size() * sizeof(FrameEntry));
    head.record_bytes = static_cast<uint32_t>(bytes.size());
    if (twist) twist(head, table);
    std::memcpy(bytes.data(), &head, sizeof head);
    std::memcpy(bytes.data() + sizeof head, table.data(), table.size() * sizeof(FrameEntry));
    const uint8_t seal_kind = head.seal_kind;
    seal_record(bytes, kind, seal);
    if (seal_kind != 0) bytes[offsetof(RecordHeader, seal_kind)] = std::byte{seal_kind};
    return bytes;
  }
};

/// Plane 0 in channel groups and nibbles, plane 1 per token in bytes, planes 2 and 3 raw, plane 3 in two
/// frames.
Draft sample_draft() {
  Draft draft;
  std::memcpy(draft.header.magic, kRecordMagic, 8);
  draft.header.version = kRecordVersion;
  draft.header.element = 1;
  draft.header.layers = 2;
  draft.header.kv_heads = 2;
  draft.header.head_dim = 4;
  draft.header.chunk_tokens = 8;
  draft.header.plane_count = 4;
  std::memcpy(draft.header.chunk_key, kKey.data(), kKey.size());
  std::memcpy(draft.header.profile, "kv4", 3);
  const auto add = [&](FrameEntry entry) {
    draft.frames.push_back(entry);
    draft.scales.emplace_back(entry.scale_bytes, std::byte{0x3f});
    draft.coded.emplace_back(entry.coded_bytes, std::byte{0x21});
  };
  add({0, 0, 8, 2, 1, 0, 16, 4, 0, 2 * 8 * 4, 8 * 4, 8 * 4, 0});
  add({1, 0, 8, 1, 0, 0, 255, 0, 1, 8 * 2 * 2, 8 * 8, 8 * 8, 0});
  add({2, 0, 8, 0, 2, 0, 0, 0, 0, 0, 128, 128, 0});
  add({3, 0, 5, 0, 2, 0, 0, 0, 0, 0, 80, 80, 0});
  add({3, 5, 3, 0, 3, 0, 0, 0, 0, 0, 48, 48, 0});
  return draft;
}

Error open_error(std::span<const std::byte> bytes, const ChunkKey& seal = kSeal, const ChunkKey& key = kKey,
                 const KvGeometry& geometry = kGeometry) {
  RecordView view;
  const auto opened = open_record(bytes, part_shape(geometry, 0), key, seal, view);
  return opened ? Error::kNone : opened.error();
}

TEST(Record, OpensAndPointsIntoTheBytes) {
  const auto bytes = sample_draft().finish();
  RecordView view;
  ASSERT_TRUE(open_record(bytes, part_shape(kGeometry, 0), kKey, kSeal, view));
  ASSERT_EQ(view.frame_count(), 5u);
  EXPECT_EQ(view.frame(0).scales.data(), bytes.data() + align_up(144 + 5 * 32, 16));
  EXPECT_EQ(view.frame(0).coded.data(), view.frame(0).scales.data() + 64);
  EXPECT_EQ(view.frame(1).symbol_offset, 64u);
  EXPECT_EQ(view.frame(4).value_offset, 3 * 128u + 80);
  EXPECT_EQ(view.frame(4).coded.data() + 48, bytes.data() + bytes.size());
  EXPECT_EQ(view.symbol_bytes(), 64u + 64 + 128 + 128 + 64);
  RecordView described;
  ASSERT_TRUE(describe_record(bytes, described));
  EXPECT_EQ(described.shape().geometry, kGeometry);
}

TEST(Record, TruncatedAtEveryLength) {
  const auto bytes = sample_draft().finish();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(open_error(part), Error::kRecordTruncated) << size;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_EQ(open_error(longer), Error::kRecordMalformed);
}

TEST(Record, EverySingleBitFlipIsRefused) {
  for (const SealKind kind : {SealKind::kXxh3, SealKind::kGmac}) {
    auto bytes = sample_draft().finish(kind);
    ASSERT_EQ(open_error(bytes), Error::kNone);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      const std::byte mask{static_cast<uint8_t>(1u << bit % 8)};
      bytes[bit / 8] ^= mask;
      ASSERT_NE(open_error(bytes), Error::kNone) << "bit " << bit;
      bytes[bit / 8] ^= mask;
    }
  }
}

TEST(Record, WrongSealKey) {
  EXPECT_EQ(open_error(sample_draft().finish(), ChunkKey{std::byte{8}}), Error::kRecordCorrupt);
  EXPECT_EQ(open_error(sample_draft().finish(SealKind::kGmac), ChunkKey{std::byte{8}}),
            Error::kRecordCorrupt);
}

TEST(Record, SaltedEngineRefusesTheSealAnybodyCanMake) {
  const ChunkKey salted = salted_seal();
  EXPECT_EQ(seal_kind_of(salted), SealKind::kGmac);
  EXPECT_EQ(seal_kind_of(kSeal), SealKind::kXxh3);
  EXPECT_EQ(open_error(sample_draft().finish(SealKind::kXxh3, salted), salted), Error::kRecordCorrupt);
  EXPECT_EQ(open_error(sample_draft().finish(SealKind::kGmac, salted), salted), Error::kNone);
}

TEST(Record, GmacNoncesDiffer) {
  const auto one = sample_draft().finish(SealKind::kGmac), two = sample_draft().finish(SealKind::kGmac);
  EXPECT_NE(one, two);
}

TEST(Record, ForeignIdentityComesBeforeTheSeal) {
  const auto bytes = sample_draft().finish();
  const ChunkKey other_seal{std::byte{1}};
  EXPECT_EQ(open_error(bytes, other_seal, ChunkKey{}), Error::kRecordForeign);
  KvGeometry other = kGeometry;
  other.element = ElementType::kFp16;
  EXPECT_EQ(open_error(bytes, kSeal, kKey, other), Error::kRecordForeign);
  other = kGeometry;
  other.chunk_tokens = 4;
  EXPECT_EQ(open_error(bytes, kSeal, kKey, other), Error::kRecordForeign);
  PartShape shape = part_shape(kGeometry, 0);
  shape.part = 1;
  RecordView view;
  EXPECT_EQ(open_record(bytes, shape, kKey, kSeal, view).error(), Error::kRecordForeign);
}

using Twist = std::function<void(RecordHeader&, std::vector<FrameEntry>&)>;

TEST(Record, SealedContradictionsInTheHeader) {
  const std::pair<Error, Twist> cases[] = {
      {Error::kRecordMalformed, [](auto& h, auto&) { h.magic[0] = 'x'; }},
      {Error::kRecordVersion, [](auto& h, auto&) { h.version = 2; }},
      {Error::kRecordVersion, [](auto& h, auto&) { h.version = 0; }},
      {Error::kUnsupported, [](auto& h, auto&) { h.flags = 1; }},
      {Error::kUnsupported, [](auto& h, auto&) { h.seal_kind = 3; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.header_bytes += 16; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.record_bytes -= 1; }},
      {Error::kRecordTruncated, [](auto& h, auto&) { h.record_bytes += 1; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.record_bytes = UINT32_MAX; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.frame_count = 0; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.frame_count = UINT32_MAX; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.frame_count = 4, h.header_bytes -= 32; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.reserved0[1] = 1; }},
      {Error::kRecordMalformed, [](auto& h, auto&) { h.first_position = 256; }},
      {Error::kRecordForeign, [](auto& h, auto&) { h.plane_count = 3; }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(open_error(sample_draft().finish(SealKind::kXxh3, kSeal, cases[i].second)), cases[i].first)
        << i;
  }
}

TEST(Record, SealedContradictionsInTheFrameTable) {
  const std::pair<Error, Twist> cases[] = {
      {Error::kUnsupported, [](auto&, auto& f) { f[0].quantizer = 4; }},
      {Error::kUnsupported, [](auto&, auto& f) { f[0].quantizer |= 0x20; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].quantizer = 3; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].quantizer |= kKeepsRows; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].quantizer |= kKeepsRows; }},
      {Error::kUnsupported, [](auto&, auto& f) { f[0].packing = 4; }},
      {Error::kUnsupported, [](auto&, auto& f) { f[0].coder = 4; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].plane = 1; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { std::swap(f[2], f[1]); }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[3].token_count = 4; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[4].token_first = 4; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[4].token_count = 4; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[4].token_count = 2, f[4].symbol_bytes = 32; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].token_count = 0; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].levels = 17; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].levels = 1; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].group_tokens = 0; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].group_tokens = 3; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].group_heads = 1; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].levels = 14; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].levels = 1; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].group_heads = 0; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].group_heads = 2; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].group_heads = 3; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[1].packing = 2; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].levels = 4; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].packing = 0; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].reserved = 1; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].symbol_bytes = 127; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].coded_bytes = 127; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[2].coder = 1, f[2].coded_bytes = UINT32_MAX; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[4].coder = 1, f[4].coded_bytes = 49; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[4].coder = 1, f[4].coded_bytes = 47; }},
      {Error::kRecordMalformed, [](auto&, auto& f) { f[0].scale_bytes = UINT32_MAX; }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(open_error(sample_draft().finish(SealKind::kXxh3, kSeal, cases[i].second)), cases[i].first)
        << i;
  }
}

TEST(Record, ScalesThatCouldOverflowAreRefused) {
  const auto with_scale = [](size_t frame, size_t index, uint16_t bits) {
    Draft draft = sample_draft();
    std::memcpy(draft.scales[frame].data() + 2 * index, &bits, 2);
    return open_error(draft.finish());
  };
  EXPECT_EQ(with_scale(0, 0, 0x7AFF), Error::kNone);
  EXPECT_EQ(with_scale(0, 0, 0x7B00), Error::kRecordMalformed);
  EXPECT_EQ(with_scale(0, 3, 0x8001), Error::kRecordMalformed);  // a negative step
  EXPECT_EQ(with_scale(0, 8, 0xFAFF), Error::kNone);             // a negative minimum
  EXPECT_EQ(with_scale(0, 8, 0xFB00), Error::kRecordMalformed);
  EXPECT_EQ(with_scale(0, 31, 0x7F80), Error::kRecordMalformed);  // infinity in the second group
  EXPECT_EQ(with_scale(0, 23, 0xBF80), Error::kRecordMalformed);
  EXPECT_EQ(with_scale(1, 15, 0x7FC0), Error::kRecordMalformed);  // NaN
  EXPECT_EQ(with_scale(1, 0, 0xBF80), Error::kRecordMalformed);
}

TEST(Record, DescribeNeedsASaneShape) {
  const Twist cases[] = {
      [](auto& h, auto&) { h.layers = 0; },       [](auto& h, auto&) { h.layers = UINT32_MAX; },
      [](auto& h, auto&) { h.element = 3; },      [](auto& h, auto&) { h.part = 1; },
      [](auto& h, auto&) { h.plane_first = 1; },  [](auto& h, auto&) { h.head_dim = UINT32_MAX; },
      [](auto& h, auto&) { h.chunk_tokens = 9; },
  };
  RecordView view;
  for (const Twist& twist : cases) {
    const auto described = describe_record(sample_draft().finish(SealKind::kXxh3, kSeal, twist), view);
    ASSERT_FALSE(described);
    EXPECT_EQ(described.error(), Error::kRecordMalformed);
  }
}

}  // namespace
}  // namespace shadowserve
