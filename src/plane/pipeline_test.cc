// Tests of the whole pipeline, stepped by hand over an in-memory store with a virtual clock.
#include "plane/pipeline.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <random>

#include "codec/calibrated/sample_calibration.h"
#include "codec/element.h"
#include "plane/ring_engine.h"

namespace shadowserve {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

/// One plane without threads, and this test as the engine.
class PipelineTest : public ::testing::TestWithParam<bool>, protected RingEngine {
 protected:
  void SetUp() override {
    std::string message;
    backend_ = open_store("memory:?limit=256MB", message).value();
    PipelineOptions options;
    options.fetch_slots = 3;
    options.save_slots = 2;
    options.pin_memory = false;
    options.separate_stages = GetParam();
    pipeline_ = Pipeline::create(options, *backend_, clock_, sessions_, message).value();
    attach(sessions_[0], "raw");
  }

  /// Turns the plane until it answers, at most `turns` times.
  LinkReply answer(int turns = 2000) {
    LinkReply reply;
    for (int i = 0; i < turns; ++i) {
      if (replies_.pop(reply)) return reply;
      pipeline_->step_once();
      clock_.advance_ns(1000);
    }
    ADD_FAILURE() << "no answer";
    return reply;
  }
  Error run(LinkOp op, uint64_t ticket = 7, uint64_t offset = 0, uint32_t chunk = 0) {
    ask(op, ticket, offset, 0, chunk);
    const LinkReply reply = answer();
    EXPECT_EQ(reply.ticket, ticket);
    EXPECT_EQ(reply.op, op);
    return static_cast<Error>(reply.error);
  }

  void fill_values() {
    std::mt19937 random(1);
    for (std::byte& byte : values()) byte = static_cast<std::byte>(random() & 0x3f);
  }

  /// Changes the stored record behind the plane's back.
  template <typename Change>
  void tamper(Change change) {
    auto client = backend_->client(clock_, 4).value();
    std::vector<std::byte> bytes(kRecordBytesMax);
    StoreDone done;
    ASSERT_TRUE(client->get(1, StoreKey(key_, 0), bytes, clock_.now_ns() + kSecond));
    while (client->poll({&done, 1}) == 0) continue;
    ASSERT_EQ(done.error, Error::kNone);
    bytes.resize(done.bytes);
    change(bytes);
    ASSERT_TRUE(client->put(2, StoreKey(key_, 0), bytes, clock_.now_ns() + kSecond));
    while (client->poll({&done, 1}) == 0) continue;
    ASSERT_EQ(done.error, Error::kNone);
  }

  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Pipeline> pipeline_;
};

TEST_P(PipelineTest, WhatWasSavedIsFetchedBitForBit) {
  fill_values();
  EXPECT_EQ(run(LinkOp::kLookup), Error::kMiss);
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  EXPECT_EQ(run(LinkOp::kLookup), Error::kNone);
  constexpr uint64_t kElsewhere = 512 << 10;
  ASSERT_EQ(run(LinkOp::kFetch, 8, kElsewhere), Error::kNone);
  EXPECT_EQ(std::memcmp(values(0).data(), values(kElsewhere).data(), values().size()), 0);
}

TEST_P(PipelineTest, AMissIsAMiss) { EXPECT_EQ(run(LinkOp::kFetch), Error::kMiss); }

TEST_P(PipelineTest, DamagedForeignAndFutureRecordsAreNamedAndNotDelivered) {
  fill_values();
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  std::vector<std::byte> original;
  tamper([&](std::vector<std::byte>& record) { original = record; });
  const auto fetch_after = [&](auto change) {
    tamper([&](std::vector<std::byte>& record) {
      record = original;
      change(record);
    });
    std::memset(values(512 << 10).data(), 0xee, values().size());
    const Error error = run(LinkOp::kFetch, 9, 512 << 10);
    // Negative control of all of these: whatever failed left the staging memory alone.
    if (error != Error::kNone) {
      EXPECT_EQ(values(512 << 10)[100], std::byte{0xee});
    }
    return error;
  };
  EXPECT_EQ(fetch_after([](auto&) {}), Error::kNone);
  EXPECT_EQ(fetch_after([](auto& r) { r.back() ^= std::byte{1}; }), Error::kRecordCorrupt);
  EXPECT_EQ(fetch_after([](auto& r) { r.resize(r.size() - 1); }), Error::kRecordTruncated);
  EXPECT_EQ(fetch_after([](auto& r) { r.resize(10); }), Error::kRecordTruncated);
  EXPECT_EQ(fetch_after([](auto& r) { r[8] = std::byte{9}; }), Error::kRecordVersion);
  EXPECT_EQ(fetch_after([](auto& r) { r[offsetof(RecordHeader, chunk_key)] ^= std::byte{1}; }),
            Error::kRecordForeign);
}

TEST_P(PipelineTest, ARecordOfAnotherModelUnderOurKeyIsForeign) {
  fill_values();
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  sessions_[0].leave();
  for (int i = 0; i < 10; ++i) pipeline_->step_once();
  ASSERT_EQ(sessions_[0].state(), Session::kDrained);
  sessions_[0].close();
  space_.model_fingerprint = "another model of the same shape";
  attach(sessions_[0], "raw");
  EXPECT_EQ(run(LinkOp::kFetch), Error::kRecordCorrupt) << "the seal is keyed with the key space";
}

TEST_P(PipelineTest, ExpiredWorkIsNotStarted) {
  fill_values();
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  ask(LinkOp::kFetch, 5);
  clock_.advance_ns(6 * kSecond);
  EXPECT_EQ(static_cast<Error>(answer().error), Error::kDeadline);
}

TEST_P(PipelineTest, RequestsOutsideTheStagingMemoryAreRefused) {
  EXPECT_EQ(run(LinkOp::kFetch, 1, staging_.size()), Error::kConfig);
  EXPECT_EQ(run(LinkOp::kFetch, 1, ~uint64_t{63}), Error::kConfig);
  EXPECT_EQ(run(LinkOp::kSave, 1, 1), Error::kConfig) << "not aligned";
  ask(LinkOp::kFetch, 2, 0, /*part=*/1000);
  EXPECT_EQ(static_cast<Error>(answer().error), Error::kConfig);
  EXPECT_EQ(run(static_cast<LinkOp>(99)), Error::kConfig);
}

TEST_P(PipelineTest, MoreRequestsThanSlotsAreAllAnsweredOnce) {
  fill_values();
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  std::array<int, 60> answers{};
  for (uint64_t ticket = 0; ticket < answers.size(); ++ticket) {
    ask(ticket % 3 == 0 ? LinkOp::kSave : LinkOp::kFetch, ticket, ticket % 3 == 0 ? 0 : 512 << 10);
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const LinkReply reply = answer();
    EXPECT_EQ(reply.error, 0);
    ++answers[reply.ticket];
  }
  for (const int count : answers) EXPECT_EQ(count, 1);
  EXPECT_EQ(pipeline_->slots().in_use(), 0u);
  EXPECT_EQ(pipeline_->funnels().fetch.asked.read(), pipeline_->funnels().fetch.ended[0].read());
}

TEST_P(PipelineTest, APeerThatLeavesInTheMiddleFreesEverything) {
  for (uint64_t ticket = 0; ticket < 20; ++ticket) ask(LinkOp::kSave, ticket);
  pipeline_->step_once();
  pipeline_->step_once();
  sessions_[0].leave();
  for (int i = 0; i < 2000 && sessions_[0].state() != Session::kDrained; ++i) pipeline_->step_once();
  EXPECT_EQ(sessions_[0].state(), Session::kDrained);
  EXPECT_EQ(pipeline_->slots().in_use(), 0u);
  const Funnel& save = pipeline_->funnels().save;
  uint64_t ended = 0;
  for (const Counter& counter : save.ended) ended += counter.read();
  EXPECT_EQ(save.asked.read(), ended) << "the funnel adds up also for those";
}

TEST_P(PipelineTest, Kv4ComesBackSmallerAndClose) {
  attach(sessions_[1], "kv4");
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> exact(values().size() / 2);
  for (size_t i = 0; i < exact.size(); ++i) {
    exact[i] = normal(random);
    uint32_t bits;
    std::memcpy(&bits, &exact[i], 4);
    const auto bf16 = static_cast<uint16_t>(bits >> 16);
    std::memcpy(values().data() + 2 * i, &bf16, 2);
  }
  ASSERT_EQ(run(LinkOp::kSave), Error::kNone);
  ask(LinkOp::kFetch, 3, 512 << 10);
  const LinkReply reply = answer();
  ASSERT_EQ(reply.error, 0);
  EXPECT_LT(reply.wire_bytes, values().size() / 2);
  double error = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    uint16_t bf16;
    std::memcpy(&bf16, values(512 << 10).data() + 2 * i, 2);
    const uint32_t bits = uint32_t{bf16} << 16;
    float got;
    std::memcpy(&got, &bits, 4);
    error += (got - exact[i]) * (got - exact[i]);
  }
  EXPECT_LT(error / static_cast<double>(exact.size()), 0.02) << "mean squared error of unit-variance values";
}

TEST_P(PipelineTest, CalibratedChunksAreDecodedAtTheirPlaceInTheSequence) {
  const KvGeometry& geometry = space_.geometry;
  const auto calibration =
      sample_calibration(geometry, sample_rotation(geometry.head_dim, RotationPairing::kHalves), 1);
  std::string message;
  Profile profile = *profile_from_name("balanced");
  const auto model = CalibratedModel::make(calibration, profile.name(), geometry, message).value();
  attach(sessions_[1], "balanced", model);
  profile.model = model.get();
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  for (size_t i = 0; i < values().size(); i += 2) {
    const uint16_t bits = element::to_bf16(normal(random));
    std::memcpy(values().data() + i, &bits, 2);
  }
  PartShape shape = part_shape(geometry, 0);
  constexpr uint32_t kChunk = 70'000;
  shape.first_position = kChunk * geometry.chunk_tokens;
  std::vector<std::byte> record(kRecordBytesMax), expected(shape.value_bytes()), first(shape.value_bytes());
  const auto trip = [&](const PartShape& at, std::span<std::byte> out) {
    const size_t size =
        encode_part(profile, at, key_, SealKind::kXxh3, seal_key(space_), values(), record).value();
    ASSERT_TRUE(decode_part(std::span(record).first(size), at, key_, seal_key(space_), out, model.get()));
  };
  trip(shape, expected);
  trip(part_shape(geometry, 0), first);
  EXPECT_NE(expected, first) << "negative control: it matters where a chunk is";

  constexpr uint64_t kElsewhere = 512 << 10;
  ASSERT_EQ(run(LinkOp::kSave, 1, 0, kChunk), Error::kNone);
  ASSERT_EQ(run(LinkOp::kFetch, 2, kElsewhere, kChunk), Error::kNone);
  EXPECT_EQ(std::memcmp(values(kElsewhere).data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(run(LinkOp::kFetch, 3, kElsewhere, kChunk + 1), Error::kRecordMalformed);
}

TEST_P(PipelineTest, NoSequenceIsLongerThanPositionsGo) {
  space_.geometry = {1, 1, 16, 256, ElementType::kBf16};
  attach(sessions_[1], "raw");
  EXPECT_EQ(run(LinkOp::kFetch, 1, 0, (1u << 23) - 1), Error::kMiss);
  EXPECT_EQ(run(LinkOp::kFetch, 1, 0, 1u << 23), Error::kConfig);
  EXPECT_EQ(run(LinkOp::kSave, 1, 0, kLinkChunksMax - 1), Error::kConfig);
}

TEST_P(PipelineTest, OnlyWhoCodesNeedsACalibration) {
  LinkHello hello;
  hello.geometry = LinkGeometry::of(space_.geometry);
  std::strcpy(hello.profile, "far");
  std::string message;
  EXPECT_TRUE(sessions_[1].open(hello, -1, 64, message)) << message;
  hello.staging_bytes = staging_.size();
  EXPECT_FALSE(sessions_[2].open(hello, dup(staging_.fd()), 64, message));
  EXPECT_EQ(message, "profile 'far' needs a calibration of the engine's model, and none came");
  EXPECT_EQ(sessions_[2].state(), Session::kFree);
}

INSTANTIATE_TEST_SUITE_P(Ways, PipelineTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "SeparateStages" : "OnePass"; });

}  // namespace
}  // namespace shadowserve
