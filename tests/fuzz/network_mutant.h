// One hostile stream of the link across machines: cut into frames as both sides do, and everything in them
// read.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "contract/check.h"
#include "wire/network/network_frame.h"

namespace shadowserve {

inline void read_network_payload(FrameType type, std::span<const std::byte> payload) {
  NetworkHello hello;
  NetworkCall call;
  if (type == FrameType::kHello && read_hello(payload, hello)) {
    SS_CHECK(hello.calibration.size() == hello.hello.calibration_bytes,
             "the calibration is as long as was said");
    SS_CHECK(hello.hello.calibration_bytes <= kLinkCalibrationBytesMax, "and no longer than a file may be");
  }
  if (type == FrameType::kCall && read_call(payload, call)) {
    SS_CHECK(call.file.empty() == (call.op == CalibrationOp::kFetch), "a publication has a file");
  }
  if (type == FrameType::kWelcome) read_welcome(payload);
  if (type == FrameType::kGoodbye)
    SS_CHECK(read_goodbye(payload).sentence.size() <= kGoodbyeBytes, "bounded");
  if (type == FrameType::kAnswer) SS_CHECK(read_answer(payload).sentence.size() <= kAnswerBytes, "bounded");
  if (type == FrameType::kPing || type == FrameType::kPong) read_ping(payload);
  for (size_t i = 0; type == FrameType::kRequests && i < payload.size() / sizeof(LinkRequest); ++i) {
    SS_CHECK(read_request(payload, i, 0).deadline_ns <= 60'000'000'000,
             "a deadline is at most a minute ahead");
  }
  for (size_t i = 0; type == FrameType::kReplies && i < payload.size() / sizeof(LinkReply); ++i)
    read_reply(payload, i);
}

/// Frames that were understood. The first byte says how the rest comes in: whose it is, and in how small
/// pieces. Aborts when a promise is broken.
inline size_t read_network_mutant(std::span<const std::byte> input) {
  if (input.empty()) return 0;
  const auto how = static_cast<uint8_t>(input[0]);
  FrameReader reader(how % 2 == 0 ? FrameSide::kPlane : FrameSide::kEngine);
  const size_t piece = how < 128 ? SIZE_MAX : 1 + how % 64;
  input = input.subspan(1);
  size_t frames = 0;
  for (;;) {
    FrameEvent event;
    while ((event = reader.next()) == FrameEvent::kFrame) {
      read_network_payload(reader.type(), reader.payload());
      ++frames;
    }
    if (event != FrameEvent::kMore || input.empty()) return frames;
    const auto room = reader.room();
    SS_CHECK(!room.empty() && reader.capacity() <= kLinkCalibrationBytesMax + 512,
             "room, and not too much of it");
    const size_t moved = std::min({piece, room.size(), input.size()});
    std::memcpy(room.data(), input.data(), moved);
    reader.took(moved);
    input = input.subspan(moved);
  }
}

}  // namespace shadowserve
