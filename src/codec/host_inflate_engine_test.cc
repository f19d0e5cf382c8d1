// The software inflate engine: everything completes once and in order, with the result a single decoder has.
#include "codec/host_inflate_engine.h"

#include <gtest/gtest.h>

#include "codec/deflate/deflate_sample.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

struct Frame {
  CoderId coder;
  std::vector<std::byte> coded;
  std::vector<std::byte> symbols;
  Error expected = Error::kNone;
};

class HostInflate : public testing::Test {
 protected:
  Frame frame(CoderId coder, size_t size) {
    Frame frame{coder, std::vector<std::byte>(size), skewed_bytes(size, 40, 3, random_)};
    frame.coded.resize(workspace_.encode(frame.coder, frame.symbols, frame.coded).value());
    return frame;
  }
  /// Good and bad ones of every kind, also Deflate that the lanes leave to others.
  std::vector<Frame> mixture(size_t count) {
    std::vector<Frame> frames;
    for (size_t i = 0; i < count; ++i) {
      const size_t size = 200 + random_() % 40000;
      const CoderId kinds[] = {CoderId::kDeflate, CoderId::kDeflate, CoderId::kDeflate, CoderId::kZstd,
                               CoderId::kNone};
      frames.push_back(frame(kinds[random_() % 5], size));
      Frame& last = frames.back();
      if (i % 5 == 1 && last.coder == CoderId::kDeflate) {
        last.coded = zlib_stream(last.symbols, 6, Z_DEFAULT_STRATEGY);
      }
      if (i % 7 == 2) {
        last.coded.pop_back();
        last.expected = Error::kRecordMalformed;
      }
      if (i % 11 == 3) {
        last.coder = static_cast<CoderId>(99);
        last.expected = Error::kUnsupported;
      }
    }
    return frames;
  }
  /// Submits all, as fast as the engine takes them, and checks every completion.
  void expect_all(const std::vector<Frame>& frames, size_t polled_at_once) {
    std::vector<std::vector<std::byte>> outs;
    for (const Frame& frame : frames) outs.emplace_back(frame.symbols.size());
    size_t submitted = 0, finished = 0;
    for (int polls = 0; finished < frames.size(); ++polls) {
      ASSERT_LT(polls, 100000);
      for (; submitted < frames.size(); ++submitted) {
        const Frame& frame = frames[submitted];
        if (!engine_.submit({static_cast<uint8_t>(frame.coder), frame.coded, outs[submitted], submitted}))
          break;
      }
      InflateDone done[16];
      const size_t count = engine_.poll(std::span(done).first(polled_at_once));
      for (size_t i = 0; i < count; ++i, ++finished) {
        ASSERT_EQ(done[i].ticket, finished);
        EXPECT_EQ(done[i].error, frames[finished].expected) << finished;
        EXPECT_TRUE(done[i].error != Error::kNone || outs[finished] == frames[finished].symbols) << finished;
      }
    }
    InflateDone none[1];
    EXPECT_EQ(engine_.poll(none), 0u);
  }

  std::mt19937 random_{3};
  CoderWorkspace workspace_;
  HostInflateEngine engine_{workspace_};
};

TEST_F(HostInflate, CompletesEverythingOnce) {
  for (const size_t count : {1, 2, 3, 6, 7, 16, 100}) {
    for (const size_t at_once : {1, 3, 16}) expect_all(mixture(count), at_once);
  }
}

TEST_F(HostInflate, MoreThanItsQueueHolds) { expect_all(mixture(2 * HostInflateEngine::kDepth + 5), 16); }

TEST_F(HostInflate, SaysWhenItIsFull) {
  const Frame one = frame(CoderId::kDeflate, 3000);
  std::vector<std::byte> out(3000);
  for (uint64_t i = 0; i < HostInflateEngine::kDepth; ++i) {
    ASSERT_TRUE(engine_.submit({static_cast<uint8_t>(one.coder), one.coded, out, i}));
  }
  EXPECT_EQ(engine_.submit({0, one.coded, out, 1}).error(), Error::kNoCapacity);
  InflateDone done[1];
  while (engine_.poll(done) == 0) {
  }
  EXPECT_TRUE(engine_.submit({static_cast<uint8_t>(one.coder), one.coded, out, 1}));
}

TEST_F(HostInflate, APollIsABoundedPieceOfWork) {
  std::vector<Frame> frames;
  for (int i = 0; i < 6; ++i) frames.push_back(frame(CoderId::kDeflate, kFrameBytesMax));
  std::vector<std::byte> out(6 * kFrameBytesMax);
  for (uint64_t i = 0; i < 6; ++i) {
    const auto symbols = std::span(out).subspan(i * kFrameBytesMax, kFrameBytesMax);
    ASSERT_TRUE(engine_.submit({static_cast<uint8_t>(CoderId::kDeflate), frames[i].coded, symbols, i}));
  }
  InflateDone done[16];
  size_t polls = 0;
  for (size_t finished = 0; finished < 6; ++polls) finished += engine_.poll(done);
  EXPECT_GE(polls, out.size() / HostInflateEngine::kPollBytes / 2);
}

TEST_F(HostInflate, AllocatesNothing) {
  if (!heap_is_watched()) GTEST_SKIP() << "the allocation watch is not part of this build";
  const auto frames = mixture(60);
  std::vector<std::byte> out(1 << 16);
  const uint64_t before = frozen_allocations();
  freeze_heap_on_this_thread();
  size_t finished = 0;
  for (const Frame& frame : frames) {
    const auto symbols = std::span(out).first(frame.symbols.size());
    (void)engine_.submit({static_cast<uint8_t>(frame.coder), frame.coded, symbols, 0});
  }
  InflateDone done[16];
  while (finished < frames.size()) finished += engine_.poll(done);
  thaw_heap_on_this_thread();
  EXPECT_EQ(frozen_allocations() - before, 0u);
}

}  // namespace
}  // namespace shadowserve
