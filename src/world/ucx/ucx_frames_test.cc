// What a relay says, cut anywhere and damaged anywhere.
#include "world/ucx/ucx_frames.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace shadowserve {
namespace {

using Event = UcxFrames::Event;

void append(std::vector<std::byte>& to, UcxFrameKind kind, uint32_t value, size_t bytes) {
  const auto header = ucx_frame_header(kind, value);
  to.insert(to.end(), header.begin(), header.end());
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<std::byte>(i * 7));
}

/// A greeting, two pieces and an end.
std::vector<std::byte> conversation() {
  std::vector<std::byte> all;
  append(all, UcxFrameKind::kGreeting, 40, 40);
  append(all, UcxFrameKind::kBytes, 100, 100);
  append(all, UcxFrameKind::kBytes, 1, 1);
  append(all, UcxFrameKind::kEnd, 104, 0);
  return all;
}

struct Heard {
  std::vector<std::byte> bytes;
  int greetings = 0, ends = 0, why = 0;
  bool wrong = false;
};

/// Reads everything, given `piece` bytes at a time, as a stream does.
Heard hear(const std::vector<std::byte>& said, size_t piece) {
  Heard heard;
  UcxFrames frames;
  for (size_t at = 0; at < said.size() && !heard.wrong && heard.ends == 0;) {
    const std::span<const std::byte> in = std::span(said).subspan(at, std::min(piece, said.size() - at));
    const UcxFrames::Step step = frames.next(in);
    EXPECT_GT(step.bytes, 0u) << "it would never end";
    EXPECT_LE(step.bytes, in.size());
    if (step.bytes == 0) break;
    at += step.bytes;
    if (step.event == Event::kBytes) {
      heard.bytes.insert(heard.bytes.end(), in.begin(), in.begin() + static_cast<long>(step.bytes));
      frames.took(step.bytes);
    }
    heard.greetings += step.event == Event::kGreeted ? 1 : 0;
    heard.ends += step.event == Event::kEnd ? 1 : 0;
    heard.wrong = step.event == Event::kWrong;
  }
  heard.why = frames.why();
  return heard;
}

TEST(UcxFrames, AreTheSameInPiecesOfAnySize) {
  const std::vector<std::byte> said = conversation();
  for (size_t piece = 1; piece <= said.size(); ++piece) {
    const Heard heard = hear(said, piece);
    ASSERT_FALSE(heard.wrong) << piece;
    EXPECT_EQ(heard.greetings, 1);
    EXPECT_EQ(heard.ends, 1);
    EXPECT_EQ(heard.why, 104);
    ASSERT_EQ(heard.bytes.size(), 101u);
    EXPECT_EQ(heard.bytes[99], static_cast<std::byte>(99 * 7));
  }
}

TEST(UcxFrames, CutAnywhereSayNothingThatWasNotThere) {
  const std::vector<std::byte> said = conversation();
  for (size_t size = 0; size < said.size(); ++size) {
    const Heard heard = hear({said.begin(), said.begin() + static_cast<long>(size)}, 13);
    EXPECT_FALSE(heard.wrong);
    EXPECT_EQ(heard.ends, 0);
    EXPECT_LE(heard.bytes.size(), 101u);
  }
}

TEST(UcxFrames, WithAnyBitOfAHeaderFlippedAreRefusedOrSayNoMoreThanTheyBring) {
  size_t refused = 0;
  for (size_t bit = 0; bit < 8 * conversation().size(); ++bit) {
    std::vector<std::byte> said = conversation();
    said[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    const Heard heard = hear(said, 64);
    refused += heard.wrong ? 1 : 0;
    EXPECT_LE(heard.bytes.size(), said.size());
  }
  EXPECT_GT(refused, 4 * 32u) << "each bit of a kind, at least";
}

TEST(UcxFrames, RefuseWhatComesInTheWrongOrderOrSize) {
  const auto first = [](UcxFrameKind kind, uint32_t value) {
    std::vector<std::byte> said;
    append(said, kind, value, 1);
    return hear(said, 100).wrong;
  };
  EXPECT_TRUE(first(UcxFrameKind::kBytes, 1)) << "before a greeting";
  EXPECT_TRUE(first(UcxFrameKind::kGreeting, 0));
  EXPECT_TRUE(first(UcxFrameKind::kGreeting, kUcxFrameBytesMax + 1));
  EXPECT_TRUE(first(UcxFrameKind::kEnd, 4096)) << "no errno";
  EXPECT_FALSE(first(UcxFrameKind::kGreeting, kUcxFrameBytesMax)) << "the control";
  std::vector<std::byte> twice;
  append(twice, UcxFrameKind::kGreeting, 1, 1);
  append(twice, UcxFrameKind::kGreeting, 1, 1);
  EXPECT_TRUE(hear(twice, 100).wrong);
}

TEST(UcxFrames, OutliveNoise) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> said = conversation();
    for (int changes = 0; changes < 4; ++changes)
      said[random() % said.size()] = static_cast<std::byte>(random());
    hear(said, 1 + random() % 50);
  }
}

}  // namespace
}  // namespace shadowserve
