// Test only: an engine without a process, at the other end of a session's rings.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "chunk/chunk_key.h"
#include "memory/shared_region.h"
#include "plane/session.h"
#include "world/clock.h"

namespace shadowserve {

/// A base of fixtures: their tests see what is below. The model is tiny, and one part is a chunk.
class RingEngine {
 protected:
  static constexpr uint64_t kPatienceNs = 5'000'000'000;

  RingEngine() {
    space_.model_fingerprint = "test model";
    space_.geometry = {2, 2, 32, 64, ElementType::kBf16};
  }

  void attach(Session& session, const char* profile, std::shared_ptr<const CalibratedModel> model = nullptr) {
    LinkHello hello;
    hello.geometry = LinkGeometry::of(space_.geometry);
    std::snprintf(hello.profile, sizeof(hello.profile), "%s", profile);
    const ChunkKey seal = seal_key(space_);
    std::memcpy(hello.seal_key, seal.data(), seal.size());
    staging_ = SharedRegion::create("staging", 1 << 20).value();
    hello.staging_bytes = staging_.size();
    std::string message;
    ASSERT_TRUE(session.open(hello, dup(staging_.fd()), 64, message, std::move(model))) << message;
    requests_ = RequestRing::attach(session.rings().data(), 64);
    replies_ = ReplyRing::attach(session.rings().data() + session.replies_offset(), 64);
  }

  void ask(LinkOp op, uint64_t ticket, uint64_t staging_offset = 0, uint32_t part = 0, uint32_t chunk = 0) {
    LinkRequest request;
    request.set_chunk_index(chunk);
    request.ticket = ticket;
    request.op = op;
    request.part = part;
    request.key = key_;
    request.staging_offset = staging_offset;
    request.deadline_ns = clock_.now_ns() + kPatienceNs;
    ASSERT_TRUE(requests_.push(request));
  }

  std::span<std::byte> values(uint64_t offset = 0) {
    return staging_.span().subspan(offset, part_shape(space_.geometry, 0).value_bytes());
  }

  VirtualClock clock_;
  std::array<Session, kSessionsMax> sessions_;
  KeySpace space_;
  ChunkKey key_{};
  SharedRegion staging_;
  RequestRing requests_;
  ReplyRing replies_;
};

}  // namespace shadowserve
