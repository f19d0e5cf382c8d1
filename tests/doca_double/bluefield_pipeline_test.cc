// The whole pipeline with a BlueField's engines on the double: whatever the device does, every request is
// answered once, every slot comes back, and what is delivered is right to the bit.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <random>

#include "codec/deflate/deflate_sample.h"
#include "double_fixture.h"
#include "memory/frozen_heap.h"
#include "plane/pipeline.h"
#include "plane/ring_engine.h"

namespace shadowserve {
namespace {

constexpr uint64_t kElsewhere = 512u << 10;

class BluefieldPipelineTest : public OnTheDouble, protected RingEngine {
 protected:
  /// After the device was set up: its capabilities are asked when it is opened.
  void open(bool tell_of_staging = true) {
    std::string message;
    backend_ = open_store("memory:?limit=64MB", message).value();
    PipelineOptions options;
    options.fetch_slots = 4;
    options.save_slots = 2;
    options.pin_memory = false;
    options.engines = "bluefield";
    auto made = Pipeline::create(options, *backend_, clock_, sessions_, message);
    ASSERT_TRUE(made) << message;
    pipeline_ = std::move(*made);
    for (const auto& loop : pipeline_->loops()) {
      for (Stage* stage : loop->stages()) stage->prepare_thread();
    }
    attach(sessions_[0], "raw+deflate");
    if (tell_of_staging) pipeline_->care()->staging_opened(0, sessions_[0].host_staging());
    std::mt19937 random(1);
    // Few bits in every byte: it codes well, so that frames are Deflate.
    for (std::byte& byte : values(0)) byte = static_cast<std::byte>(random() & 0x0f);
  }
  void TearDown() override {
    if (pipeline_) {
      EXPECT_EQ(pipeline_->slots().in_use(), 0u) << "a slot was lost";
      pipeline_.reset();
      expect_clean();
    }
  }

  bool delivered(uint64_t offset) {
    return std::memcmp(values(0).data(), values(offset).data(), values(0).size()) == 0;
  }
  void turn(uint64_t ns = 1000) {
    // As the plane's threads do it: nothing may be allocated any more.
    const uint64_t before = frozen_allocations();
    freeze_heap_on_this_thread();
    pipeline_->step_once();
    thaw_heap_on_this_thread();
    allocations_ += frozen_allocations() - before;
    pipeline_->care()->tend(clock_.now_ns());
    clock_.advance_ns(ns);
  }
  /// Asks for everything at once and counts answers by error. Each ticket exactly once, or it is a failure.
  std::array<int, kErrorCount> answers(LinkOp op, uint64_t count, uint64_t ns_a_turn = 1000) {
    std::array<int, kErrorCount> errors{};
    std::vector<int> seen(count);
    for (uint64_t i = 0; i < count; ++i) ask(op, i, op == LinkOp::kSave ? 0 : kElsewhere);
    uint64_t told = 0;
    for (int turns = 0; turns < 20000 && told < count; ++turns) {
      turn(ns_a_turn);
      LinkReply reply;
      while (replies_.pop(reply)) {
        ++told;
        EXPECT_EQ(++seen[reply.ticket], 1);
        ++errors[reply.error];
      }
    }
    EXPECT_EQ(told, count) << "requests without an answer";
    return errors;
  }
  /// A save, then many fetches, all of which must deliver what was saved.
  void expect_right(uint64_t fetches = 30, uint64_t ns_a_turn = 1000) {
    EXPECT_EQ(answers(LinkOp::kSave, 1, ns_a_turn)[0], 1);
    std::memset(values(kElsewhere).data(), 0xee, values(kElsewhere).size());
    EXPECT_EQ(answers(LinkOp::kFetch, fetches, ns_a_turn)[0], static_cast<int>(fetches));
    EXPECT_TRUE(delivered(kElsewhere));
    EXPECT_EQ(allocations_, 0u);
  }

  /// A device that never has room: every fetch ends at its deadline, and the next ones are well again.
  void expect_busy_to_cost_the_deadline() {
    ASSERT_EQ(answers(LinkOp::kSave, 1)[0], 1);
    behaviour().busy_every = 1;
    const auto late = answers(LinkOp::kFetch, 10, 10'000'000);
    EXPECT_EQ(late[static_cast<int>(Error::kDeadline)], 10);
    EXPECT_EQ(pipeline_->slots().in_use(), 0u);
    behaviour().busy_every = 0;
    EXPECT_EQ(answers(LinkOp::kFetch, 10)[0], 10);
  }

  const EngineCounters& inflate() { return pipeline_->lanes()[0]->rescued_inflate()->counters(); }
  const EngineCounters& deliver() { return pipeline_->lanes()[0]->deliver_engines.rescued()->counters(); }
  const EngineCounters& collect() { return pipeline_->lanes()[0]->collect_engines.rescued()->counters(); }

  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Pipeline> pipeline_;
  uint64_t allocations_ = 0;
};

TEST_F(BluefieldPipelineTest, TheDeviceDoesItAll) {
  open();
  expect_right();
  EXPECT_EQ(inflate().by_device.read(), 30u * 4) << "frames";
  EXPECT_EQ(deliver().by_device.read(), 30u);
  EXPECT_EQ(collect().by_device.read(), 1u);
  EXPECT_EQ(inflate().by_host.read() + deliver().by_host.read() + collect().by_host.read(), 0u);
}

TEST_F(BluefieldPipelineTest, ABusyDeviceIsWaitedForNotReplaced) {
  open();
  behaviour().busy_submits = 200;
  behaviour().busy_every = 2;
  expect_right();
  EXPECT_GT(doca_double::counts().busy, 200u);
  EXPECT_EQ(inflate().by_device.read(), 30u * 4);
  EXPECT_EQ(deliver().by_device.read(), 30u);
  EXPECT_EQ(inflate().by_host.read() + deliver().by_host.read(), 0u);
}

TEST_F(BluefieldPipelineTest, ADeviceThatStaysBusyCostsTheDeadlineAndNoSlot) {
  open();
  expect_busy_to_cost_the_deadline();
}

TEST_F(BluefieldPipelineTest, ACopyEngineThatStaysBusyCostsTheDeadlineToo) {
  behaviour().inflate_bytes_max = 1000;  // this core inflates: only copies meet the busy device
  open();
  expect_busy_to_cost_the_deadline();
}

TEST_F(BluefieldPipelineTest, WhatTheDeviceFailsThisCoreDoes) {
  open();
  behaviour().failing_every = 3;
  expect_right();
  EXPECT_GT(inflate().failed.read(), 10u);
  EXPECT_GT(deliver().failed.read(), 3u);
  EXPECT_EQ(inflate().by_host.read(), inflate().failed.read());
  EXPECT_EQ(inflate().by_host.read() + inflate().by_device.read(), 30u * 4);
  EXPECT_EQ(deliver().by_host.read() + deliver().by_device.read(), 30u);
}

TEST_F(BluefieldPipelineTest, TasksEndInAnyOrder) {
  open();
  behaviour().reorder_seed = 5;
  expect_right();
  EXPECT_GT(doca_double::counts().out_of_order, 0u);
  EXPECT_EQ(inflate().by_host.read(), 0u);
}

TEST_F(BluefieldPipelineTest, AResetLosesNothingAndTheDeviceComesBack) {
  open();
  for (uint32_t tasks = 1; tasks < 40; tasks += 3) {
    behaviour().resets_after_tasks = tasks;
    expect_right(12);
  }
  EXPECT_GE(doca_double::counts().resets, 13u);
  EXPECT_GT(inflate().failed.read(), 0u);
  EXPECT_GT(deliver().failed.read() + collect().failed.read(), 0u);
  const uint64_t before = inflate().by_device.read();
  expect_right(10);
  EXPECT_EQ(inflate().by_device.read(), before + 10 * 4) << "after the last reset all is as before";
}

TEST_F(BluefieldPipelineTest, ADeviceThatDoesNotComeBackIsTriedEverMoreRarely) {
  open();
  doca_double::reset_device();
  behaviour().starts_failing = UINT32_MAX;
  expect_right();
  EXPECT_GT(inflate().by_host.read(), 100u);
  const uint32_t left = behaviour().starts_failing;
  for (int i = 0; i < 1000; ++i) turn(10'000'000);  // ten seconds
  const uint32_t tries = left - behaviour().starts_failing;
  EXPECT_GE(tries, 3u * 5);
  EXPECT_LE(tries, 3u * 12) << "a hundred times a second would be a nuisance";
  behaviour().starts_failing = 0;
  for (int i = 0; i < 20; ++i) turn(1'000'000'000);
  const uint64_t before = inflate().by_device.read();
  expect_right(10);
  EXPECT_EQ(inflate().by_device.read(), before + 10 * 4);
}

TEST_F(BluefieldPipelineTest, WhatNeverEndsIsTakenBackAndDoneHere) {
  open();
  ASSERT_EQ(answers(LinkOp::kSave, 1)[0], 1);
  behaviour().holding = true;
  // A second passes in 100 turns; the deadline is after five.
  const auto ended = answers(LinkOp::kFetch, 4, 10'000'000);
  EXPECT_EQ(ended[0], 4) << "in time, and by this core";
  EXPECT_TRUE(delivered(kElsewhere));
  EXPECT_GT(inflate().abandoned.read(), 0u);
  EXPECT_GT(inflate().by_host.read(), 0u);
}

TEST_F(BluefieldPipelineTest, EverythingAtOnce) {
  open();
  behaviour().busy_every = 5;
  behaviour().failing_every = 7;
  behaviour().reorder_seed = 3;
  for (int round = 0; round < 10; ++round) {
    behaviour().resets_after_tasks = 25;
    expect_right(20);
  }
}

/// The same with the plane's own thread, while this one revives engines that the other uses.
TEST_F(BluefieldPipelineTest, EverythingAtOnceOnThreads) {
  open();
  ASSERT_EQ(answers(LinkOp::kSave, 1)[0], 1);
  behaviour().busy_every = 5;
  behaviour().failing_every = 7;
  behaviour().reorder_seed = 3;
  behaviour().resets_every = 50;
  pipeline_->start();
  constexpr uint64_t kRounds = 40, kAtOnce = 20;
  uint64_t told = 0, right = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (uint64_t round = 0; round < kRounds; ++round) {
    for (uint64_t i = 0; i < kAtOnce; ++i) ask(LinkOp::kFetch, i, kElsewhere);
    pipeline_->doorbell().ring();
    LinkReply reply;
    while (told < (round + 1) * kAtOnce && std::chrono::steady_clock::now() < until) {
      pipeline_->care()->tend(clock_.now_ns());
      while (replies_.pop(reply)) {
        ++told;
        right += reply.error == 0 ? 1 : 0;
      }
    }
  }
  pipeline_->stop();
  EXPECT_EQ(told, kRounds * kAtOnce);
  EXPECT_EQ(right, kRounds * kAtOnce);
  EXPECT_TRUE(delivered(kElsewhere));
  EXPECT_GT(doca_double::counts().resets, 10u);
  EXPECT_GT(doca_double::counts().starts, 20u);
}

TEST_F(BluefieldPipelineTest, SmallBuffersAreFilledInPiecesOrLeftToThisCore) {
  behaviour().copy_bytes_max = 5000;  // a part has 32 KiB: 7 pieces
  behaviour().inflate_bytes_max = 1000;
  open();
  expect_right();
  EXPECT_EQ(inflate().by_device.read(), 0u);
  EXPECT_EQ(inflate().by_host.read(), 30u * 4);
  EXPECT_EQ(deliver().by_device.read(), 30u);
  EXPECT_GE(doca_double::counts().completed, 31u * 7);
  behaviour().failing_every = 10;  // one piece in ten: most copies
  expect_right();
  EXPECT_GT(deliver().by_host.read(), 10u);
}

TEST_F(BluefieldPipelineTest, AFewTasksAreEnough) {
  behaviour().tasks_max = 2;
  open();
  expect_right();
  EXPECT_EQ(inflate().by_device.read(), 30u * 4);
}

TEST_F(BluefieldPipelineTest, StagingMemoryThatTheDeviceWasNotToldOfIsThisCoresWork) {
  open(/*tell_of_staging=*/false);
  expect_right();
  EXPECT_EQ(deliver().by_device.read(), 0u);
  EXPECT_EQ(deliver().by_host.read(), 30u);
  EXPECT_EQ(inflate().by_device.read(), 30u * 4);
  pipeline_->care()->staging_opened(0, sessions_[0].host_staging());
  expect_right();
  EXPECT_EQ(deliver().by_device.read(), 30u);
  pipeline_->care()->staging_closing(0);
  EXPECT_EQ(answers(LinkOp::kFetch, 5)[0], 5);
}

/// A device cannot tell a hostile frame from its own fault: the verdict is the software engine's.
TEST_F(BluefieldPipelineTest, HostileFramesAreCalledMalformedByThisCore) {
  std::vector<std::byte> memory(1 << 16);
  std::string message;
  {
    const auto device = BluefieldDevice::open("", message).value();
    const auto shared = BluefieldMemory::share(*device, memory).value();
    const BluefieldReach reach(*shared);
    const auto inflater = BluefieldInflateEngine::create(*device, reach, 8).value();
    CoderWorkspace workspace;
    HostInflateEngine host(workspace);
    RescuedInflateEngine engine(*inflater, host, clock_);
    std::mt19937 random(2);
    const auto symbols = skewed_bytes(5000, 20, 2, random);
    const auto good = zlib_stream(symbols, 6, Z_HUFFMAN_ONLY);
    std::memcpy(memory.data(), good.data(), good.size());
    std::memcpy(&memory[10000], good.data(), good.size());
    memory[10000] = std::byte{0xff};
    const auto task = [&](size_t from, size_t to, uint64_t ticket) {
      return InflateTask{static_cast<uint8_t>(CoderId::kDeflate),
                         std::span(memory).subspan(from, good.size()),
                         std::span(memory).subspan(to, symbols.size()), ticket};
    };
    ASSERT_TRUE(engine.submit(task(0, 20000, 100)));
    ASSERT_TRUE(engine.submit(task(10000, 30000, 101)));
    std::array<Error, 2> verdicts{Error::kCancelled, Error::kCancelled};
    size_t ended = 0;
    for (int i = 0; i < 100; ++i) {
      InflateDone done[4];
      const size_t count = engine.poll(done);
      ended += count;
      for (size_t n = 0; n < count; ++n) verdicts.at(done[n].ticket - 100) = done[n].error;
    }
    EXPECT_EQ(ended, 2u);
    EXPECT_EQ(verdicts[0], Error::kNone);
    EXPECT_EQ(verdicts[1], Error::kRecordMalformed);
    EXPECT_EQ(engine.counters().by_device.read(), 1u);
    EXPECT_EQ(engine.counters().failed.read(), 1u);
  }
  expect_clean();
}

TEST(BluefieldPipeline, WithoutADeviceThereIsASentence) {
  doca_double::start_over();
  doca_double::behaviour().devices = 0;
  const VirtualClock clock;
  std::array<Session, kSessionsMax> sessions;
  std::string message;
  const auto backend = open_store("memory:?limit=64MB", message).value();
  PipelineOptions options;
  options.engines = "bluefield";
  EXPECT_FALSE(Pipeline::create(options, *backend, clock, sessions, message));
  EXPECT_THAT(message, testing::HasSubstr("DOCA finds no device"));
  EXPECT_EQ(doca_double::objects_alive(), 0u);
}

}  // namespace
}  // namespace shadowserve
