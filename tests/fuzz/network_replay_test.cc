// The network fuzzer's entry over good streams and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include "fuzz/byte_mutation.h"
#include "fuzz/network_mutant.h"

namespace shadowserve {
namespace {

void append(std::vector<std::byte>& stream, std::span<const std::byte> frame) {
  stream.insert(stream.end(), frame.begin(), frame.end());
}

/// One of everything that the side may get; `how` as the fuzzer takes it.
std::vector<std::byte> good_stream(uint8_t how) {
  std::vector<std::byte> stream = {std::byte{how}};
  const std::vector<std::byte> calibration(600, std::byte{3});
  BatchBuffer buffer;
  if (how % 2 == 0) {
    NetworkHello hello;
    hello.window.bytes = 4096;
    hello.calibration = calibration;
    append(stream, frame_hello(hello));
    append(stream, frame_requests(std::vector<LinkRequest>(5), 1, buffer));
    append(stream, frame_call({CalibrationOp::kPublish, {}, calibration}));
    append(stream, frame_call({CalibrationOp::kFetch, {}, {}}));
  } else {
    append(stream, frame_welcome({1024, 1}));
    append(stream, frame_replies(std::vector<LinkReply>(5), buffer));
    append(stream, frame_answer(Error::kMiss, "none", calibration));
  }
  append(stream, frame_ping(FrameType::kPing, 1));
  append(stream, frame_ping(FrameType::kPong, 1));
  append(stream, frame_goodbye(Error::kConfig, "because"));
  return stream;
}

TEST(NetworkReplay, GoodStreamsAndMutations) {
  std::mt19937 random(20261122);
  size_t whole = 0, broken = 0;
  for (const uint8_t how : {0, 1, 200, 201}) {
    const auto good = good_stream(how);
    const size_t frames = read_network_mutant(good);
    EXPECT_EQ(frames, how % 2 == 0 ? 7u : 6u);
    for (int i = 0; i < 5000; ++i) {
      auto mutant = good;
      mutate(mutant, random);
      (read_network_mutant(mutant) == frames ? whole : broken) += 1;
    }
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_LT(read_network_mutant(std::span(good).first(size)), frames) << size;
    }
  }
  EXPECT_GT(broken, 1000u) << "what contradicts itself is noticed";
  EXPECT_GT(whole, 1000u) << "other keys and tickets are as good";
}

}  // namespace
}  // namespace shadowserve
