// Frames there and back, cut in every place, and from a peer that means harm.
#include "wire/network/network_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "world/clock.h"

namespace shadowserve {
namespace {

using Bytes = std::vector<std::byte>;

struct Story {
  std::vector<FrameType> frames;
  FrameEvent last = FrameEvent::kMore;
  size_t most = 0;  ///< bytes that the reader held
};

/// What one frame says is read as the gate and the engine do: a sanitizer sees every byte that is touched.
void read_payload(const FrameReader& reader) {
  const auto payload = reader.payload();
  NetworkHello hello;
  NetworkCall call;
  switch (reader.type()) {
    case FrameType::kHello:
      if (read_hello(payload, hello)) {
        EXPECT_EQ(hello.calibration.size(), hello.hello.calibration_bytes);
      }
      break;
    case FrameType::kCall:
      if (read_call(payload, call)) {
        EXPECT_LE(call.file.size(), kLinkCalibrationBytesMax);
      }
      break;
    case FrameType::kWelcome:
      read_welcome(payload);
      break;
    case FrameType::kGoodbye:
      EXPECT_LT(read_goodbye(payload).sentence.size(), kGoodbyeBytes - 7);
      break;
    case FrameType::kAnswer:
      EXPECT_LE(read_answer(payload).file.size(), kLinkCalibrationBytesMax);
      break;
    case FrameType::kRequests:
      for (size_t i = 0; i < payload.size() / sizeof(LinkRequest); ++i) {
        EXPECT_LE(read_request(payload, i, 1000).deadline_ns, 1000 + 60'000 * kNsPerMs);
      }
      break;
    case FrameType::kReplies:
      for (size_t i = 0; i < payload.size() / sizeof(LinkReply); ++i) read_reply(payload, i);
      break;
    case FrameType::kPing:
    case FrameType::kPong:
      read_ping(payload);
      break;
  }
}

Story read_all(FrameSide side, std::span<const std::byte> bytes, size_t piece) {
  FrameReader reader(side);
  Story story;
  for (;;) {
    while ((story.last = reader.next()) == FrameEvent::kFrame) {
      story.frames.push_back(reader.type());
      read_payload(reader);
    }
    if (story.last != FrameEvent::kMore || bytes.empty()) return story;
    const auto room = reader.room();
    EXPECT_FALSE(room.empty());
    const size_t moved = std::min({piece, room.size(), bytes.size()});
    std::memcpy(room.data(), bytes.data(), moved);
    reader.took(moved);
    story.most = std::max(story.most, reader.capacity());
    bytes = bytes.subspan(moved);
  }
}

NetworkHello sample_hello(std::span<const std::byte> calibration) {
  NetworkHello hello;
  hello.hello.geometry = LinkGeometry::of({32, 8, 128, 256, ElementType::kFp16});
  std::strcpy(hello.hello.profile, "balanced");
  std::strcpy(hello.hello.client_name, "worker 0");
  hello.hello.seal_kind = 2;
  hello.hello.seal_key[31] = std::byte{7};
  hello.window.token.fill(std::byte{9});
  hello.window.bytes = 1u << 28;
  hello.calibration = calibration;
  return hello;
}

void append(Bytes& stream, std::span<const std::byte> frame) {
  stream.insert(stream.end(), frame.begin(), frame.end());
}

/// One of everything that the side may get.
Bytes sample_stream(FrameSide side) {
  Bytes stream;
  BatchBuffer buffer;
  const Bytes calibration(5000, std::byte{3});
  append(stream, frame_ping(FrameType::kPing, 1));
  if (side == FrameSide::kPlane) {
    append(stream, frame_hello(sample_hello(calibration)));
    std::vector<LinkRequest> requests(17);
    for (auto& request : requests) request.deadline_ns = 5'000'000;
    append(stream, frame_requests(requests, 1'000'000, buffer));
    append(stream, frame_call({CalibrationOp::kPublish, {}, calibration}));
  } else {
    append(stream, frame_welcome({1024, 3}));
    const std::vector<LinkReply> replies(kBatchMax);
    append(stream, frame_replies(replies, buffer));
    append(stream, frame_answer(Error::kNone, "", calibration));
  }
  append(stream, frame_ping(FrameType::kPong, 2));
  append(stream, frame_goodbye(Error::kConfig, "because"));
  return stream;
}

TEST(NetworkFrame, AHelloSaysTheSameThereAndBack) {
  const Bytes calibration(1000, std::byte{5});
  const NetworkHello sent = sample_hello(calibration);
  const Bytes frame = frame_hello(sent);
  ASSERT_EQ(frame.size(), kFrameHeaderBytes + kHelloBytes + calibration.size());
  NetworkHello got;
  ASSERT_TRUE(read_hello(std::span(frame).subspan(kFrameHeaderBytes), got));
  EXPECT_EQ(got.hello.geometry.geometry(), sent.hello.geometry.geometry());
  EXPECT_STREQ(got.hello.profile, "balanced");
  EXPECT_STREQ(got.hello.client_name, "worker 0");
  EXPECT_EQ(got.hello.seal_kind, 2);
  EXPECT_EQ(got.hello.seal_key[31], std::byte{7});
  EXPECT_EQ(got.window.token, sent.window.token);
  EXPECT_EQ(got.hello.staging_bytes, 1u << 28);
  EXPECT_TRUE(std::ranges::equal(got.calibration, calibration));
}

// The layout is the format: what docs/formats/link-network-v1.md says stands at these places.
TEST(NetworkFrame, FieldsLieWhereTheFormatSays) {
  const Bytes frame = frame_hello(sample_hello({}));
  const auto byte = [&](size_t at) { return static_cast<int>(frame[kFrameHeaderBytes + at]); };
  EXPECT_EQ(std::memcmp(frame.data(), "SSLN\x01\x00\x01\x00\xb0\x00\x00\x00", 12), 0);
  EXPECT_EQ(byte(0), 32);        // layers
  EXPECT_EQ(byte(16), 2);        // element
  EXPECT_EQ(byte(17), 2);        // seal kind
  EXPECT_EQ(byte(18), 1);        // window kind
  EXPECT_EQ(byte(20), 'b');      // profile
  EXPECT_EQ(byte(44 + 31), 7);   // seal key
  EXPECT_EQ(byte(76), 'w');      // client name
  EXPECT_EQ(byte(140), 9);       // token
  EXPECT_EQ(byte(156 + 3), 16);  // window bytes
}

TEST(NetworkFrame, DeadlinesTravelAsWhatIsLeft) {
  std::vector<LinkRequest> requests(2);
  requests[0].deadline_ns = 7'000'000'000;
  requests[0].ticket = 42;
  requests[1].deadline_ns = 1;  // over
  BatchBuffer buffer;
  const auto frame = frame_requests(requests, 6'900'000'000, buffer);
  const auto payload = frame.subspan(kFrameHeaderBytes);
  const LinkRequest there = read_request(payload, 0, 50);  // another host's clock
  EXPECT_EQ(there.ticket, 42u);
  EXPECT_EQ(there.deadline_ns, 50 + 100 * kNsPerMs);
  EXPECT_EQ(read_request(payload, 1, 50).deadline_ns, 50u);
  Bytes forged(payload.begin(), payload.end());
  std::memset(forged.data() + 56, 0xff, 8);
  EXPECT_EQ(read_request(forged, 0, 50).deadline_ns, 50 + 60'000 * kNsPerMs);
}

TEST(NetworkFrame, AStreamMayBeCutAnywhere) {
  for (const FrameSide side : {FrameSide::kPlane, FrameSide::kEngine}) {
    const Bytes stream = sample_stream(side);
    const Story whole = read_all(side, stream, SIZE_MAX);
    EXPECT_GE(whole.frames.size(), 5u);
    EXPECT_EQ(whole.last, FrameEvent::kMore);
    for (const size_t piece : {1, 7, 13, 4096}) {
      EXPECT_EQ(read_all(side, stream, piece).frames, whole.frames);
    }
    // The other side may not say the same.
    const FrameSide other = side == FrameSide::kPlane ? FrameSide::kEngine : FrameSide::kPlane;
    EXPECT_EQ(read_all(other, stream, SIZE_MAX).last, FrameEvent::kBroken);
  }
}

TEST(NetworkFrame, AnotherVersionIsSeenButItsGoodbyeIsRead) {
  Bytes hello = frame_hello(sample_hello({}));
  hello[4] = std::byte{9};
  EXPECT_EQ(read_all(FrameSide::kPlane, hello, SIZE_MAX).last, FrameEvent::kOtherVersion);
  Bytes goodbye = frame_goodbye(Error::kConfig, "this data plane speaks version 9");
  goodbye[4] = std::byte{9};
  EXPECT_EQ(read_all(FrameSide::kEngine, goodbye, SIZE_MAX).frames, std::vector{FrameType::kGoodbye});
}

TEST(NetworkFrame, NoHeaderMakesTheReaderTakeMoreThanItsLargestFrame) {
  const auto header = [](uint8_t type, uint32_t size) {
    Bytes frame(kFrameHeaderBytes);
    std::memcpy(frame.data(), "SSLN\x01\x00", 6);
    frame[6] = std::byte{type};
    std::memcpy(frame.data() + 8, &size, 4);
    return frame;
  };
  for (int type = 0; type < 256; ++type) {
    for (const uint32_t size :
         {0u, 1u, 63u, 64u, 65u, 176u, 1u << 20, (2u << 20) + 176, (2u << 20) + 249, 1u << 31, ~0u}) {
      for (const FrameSide side : {FrameSide::kPlane, FrameSide::kEngine}) {
        Bytes stream = header(static_cast<uint8_t>(type), size);
        stream.resize(stream.size() + 20'000);
        const Story story = read_all(side, stream, 3000);
        EXPECT_LE(story.most, (2u << 20) + 300);
        if (size > (2u << 20) + 248) {
          EXPECT_EQ(story.last, FrameEvent::kBroken) << type << " " << size;
        }
      }
    }
  }
}

TEST(NetworkFrame, AfterALargeFrameTheReaderIsSmallAgain) {
  FrameReader reader(FrameSide::kPlane);
  const Bytes calibration(kLinkCalibrationBytesMax, std::byte{1});
  const Bytes stream = frame_hello(sample_hello(calibration));
  std::span<const std::byte> left = stream;
  size_t most = 0;
  while (reader.next() == FrameEvent::kMore) {
    const auto room = reader.room();
    most = std::max(most, reader.capacity());
    const size_t moved = std::min(room.size(), left.size());
    std::memcpy(room.data(), left.data(), moved);
    reader.took(moved);
    left = left.subspan(moved);
  }
  EXPECT_EQ(reader.payload().size(), kHelloBytes + kLinkCalibrationBytesMax);
  EXPECT_GT(most, 2u << 20);
  EXPECT_EQ(reader.next(), FrameEvent::kMore);
  reader.room();
  EXPECT_LE(reader.capacity(), 64u << 10);
}

TEST(NetworkFrame, ContradictionsAreRefused) {
  const Bytes calibration(100, std::byte{1});
  const Bytes good = frame_hello(sample_hello(calibration));
  const auto with = [&](size_t at, uint8_t value) {
    Bytes hello(good.begin() + kFrameHeaderBytes, good.end());
    hello[at] = std::byte{value};
    NetworkHello out;
    return read_hello(hello, out);
  };
  EXPECT_TRUE(with(76, 'x')) << "negative control";
  EXPECT_FALSE(with(18, 0)) << "no window, but bytes";
  EXPECT_FALSE(with(18, 2)) << "a kind that does not exist";
  EXPECT_FALSE(with(19, 1)) << "reserved";
  EXPECT_FALSE(with(164, 99)) << "another size of the calibration";
  const auto call = [](CalibrationOp op, std::span<const std::byte> file) {
    const Bytes frame = frame_call({op, {}, file});
    NetworkCall out;
    return read_call(std::span(frame).subspan(kFrameHeaderBytes), out);
  };
  EXPECT_TRUE(call(CalibrationOp::kFetch, {})) << "negative control";
  EXPECT_TRUE(call(CalibrationOp::kPublish, calibration));
  EXPECT_FALSE(call(CalibrationOp::kPublish, {}));
  EXPECT_FALSE(call(CalibrationOp::kFetch, calibration));
  EXPECT_FALSE(call(static_cast<CalibrationOp>(3), {}));
}

TEST(NetworkFrame, ASentenceCarriesNoControlCharacters) {
  const Bytes frame = frame_goodbye(Error::kConfig, "a\nb\x1b[31m");
  EXPECT_EQ(read_goodbye(std::span(frame).subspan(kFrameHeaderBytes)).sentence, "a?b?[31m");
}

// What a fuzzer would do, the same in every run: flips, cuts and doublings of good streams.
TEST(NetworkFrame, MutatedStreamsHarmNobody) {
  std::mt19937 random(20261122);
  size_t broken = 0, read = 0;
  for (const FrameSide side : {FrameSide::kPlane, FrameSide::kEngine}) {
    const Bytes good = sample_stream(side);
    for (int i = 0; i < 4000; ++i) {
      Bytes bytes = good;
      for (uint32_t n = 0; n < 1 + random() % 4; ++n) {
        const size_t reach = random() % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 300);
        const size_t at = random() % reach;
        switch (random() % 4) {
          case 0:
            bytes[at] ^= std::byte{static_cast<uint8_t>(1u << random() % 8)};
            break;
          case 1:
            bytes[at] = static_cast<std::byte>(random());
            break;
          case 2:
            bytes.erase(
                bytes.begin() + static_cast<ptrdiff_t>(at),
                bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), at + 1 + random() % 64)));
            break;
          default:
            bytes.insert(bytes.end(), bytes.begin() + static_cast<ptrdiff_t>(at), bytes.end());
        }
        if (bytes.empty()) bytes.push_back({});
      }
      const Story story = read_all(side, bytes, 1 + random() % 5000);
      EXPECT_LE(story.most, (2u << 20) + 300);
      (story.last == FrameEvent::kMore ? read : broken) += 1;
    }
  }
  EXPECT_GT(broken, 1000u) << "the mutations reach what is checked";
  EXPECT_GT(read, 200u);
}

}  // namespace
}  // namespace shadowserve
