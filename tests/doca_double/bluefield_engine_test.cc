// Both BlueField engines through everything that a device does to its users; and each check fails without the
// handling that it is about.
#include <cstring>
#include <memory>
#include <random>

#include "bluefield/doca_kinds.h"
#include "codec/deflate/deflate_sample.h"
#include "double_fixture.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

constexpr size_t kPieceBytes = 3000;
constexpr size_t kPieces = 40;
constexpr size_t kDepth = 8;

/// Work for either engine: 40 pieces whose results are known, in memory that the device knows.
class Jobs {
 public:
  Jobs() : memory_(4 * kPieces * kPieceBytes) {
    std::mt19937 random(7);
    for (size_t i = 0; i < kPieces; ++i) {
      expected_.push_back(skewed_bytes(kPieceBytes, 40, 3, random));
      coded_.push_back(zlib_stream(expected_[i], 6, Z_HUFFMAN_ONLY));
      std::memcpy(plain(i).data(), expected_[i].data(), kPieceBytes);
      std::memcpy(&memory_[coded_at(i)], coded_[i].data(), coded_[i].size());
    }
  }
  std::span<std::byte> memory() { return memory_; }
  std::span<std::byte> plain(size_t i) { return std::span(memory_).subspan(i * kPieceBytes, kPieceBytes); }
  std::span<std::byte> result(size_t i) { return plain(kPieces + i); }
  InflateTask inflate(size_t i) {
    const auto coded = std::span(memory_).subspan(coded_at(i), coded_[i].size());
    return {static_cast<uint8_t>(CoderId::kDeflate), coded, result(i), i};
  }
  CopyTask copy(size_t i) { return {result(i).data(), plain(i).data(), kPieceBytes, i}; }
  bool right(size_t i) { return std::memcmp(result(i).data(), expected_[i].data(), kPieceBytes) == 0; }
  void wipe() { std::memset(plain(kPieces).data(), 0, kPieces * kPieceBytes); }
  void spoil(size_t i) { memory_[coded_at(i)] = std::byte{0xff}; }  // a block type that there is not

 private:
  size_t coded_at(size_t i) const { return (2 * kPieces + 2 * i) * kPieceBytes; }
  std::vector<std::byte> memory_;
  std::vector<std::vector<std::byte>> expected_, coded_;
};

/// What came of all the work; `sound` when the seam's promises held.
struct Outcome {
  size_t done = 0, failed = 0, refused = 0, busy = 0;
  bool wrong = false;  ///< a result that was called done is not right
  bool twice = false;  ///< a ticket came back twice
  bool stuck = false;  ///< not everything came back
  size_t out_of_order = 0;
  uint64_t allocations = 0;
};

template <DocaHandling kHandling>
struct InflateSide {
  using Engine = DocaInflateEngine<kHandling>;
  using Queue = DocaQueue<DocaDeflate, kHandling>;
  using Done = InflateDone;
  static auto task(Jobs& jobs, size_t i) { return jobs.inflate(i); }
};
template <DocaHandling kHandling>
struct CopySide {
  using Engine = DocaCopyEngine<kHandling>;
  using Queue = DocaQueue<DocaCopy, kHandling>;
  using Done = CopyDone;
  static auto task(Jobs& jobs, size_t i) { return jobs.copy(i); }
};

/// An engine and all that it stands on.
template <typename Side>
struct Rig {
  Rig() {
    std::string message;
    device = BluefieldDevice::open("", message).value();
    memory = BluefieldMemory::share(*device, jobs.memory()).value();
    reach = std::make_unique<BluefieldReach>(*memory);
    auto queue = Side::Queue::create(*device, *reach, kDepth).value();
    engine = std::make_unique<typename Side::Engine>(std::move(queue), 2u << 20);
  }

  /// Gives the engine everything, asking again while it is busy, and hears it out.
  Outcome run() {
    Outcome outcome;
    jobs.wipe();
    std::array<int, kPieces> ends{};
    size_t next = 0, taken = 0, last = 0;
    const uint64_t before = frozen_allocations();
    freeze_heap_on_this_thread();
    int turns = 0;
    for (; turns < 5000 && (next < kPieces || outcome.done + outcome.failed < taken); ++turns) {
      for (; next < kPieces; ++next) {
        const auto accepted = engine->submit(Side::task(jobs, next));
        if (accepted) ++taken;
        if (!accepted && accepted.error() != Error::kNoCapacity) ++outcome.refused;
        if (!accepted && accepted.error() == Error::kNoCapacity) {
          ++outcome.busy;
          break;
        }
      }
      typename Side::Done done[3];
      const size_t count = engine->poll(done);
      for (size_t i = 0; i < count; ++i) {
        const size_t piece = done[i].ticket;
        outcome.twice = outcome.twice || piece >= kPieces || ++ends[piece] > 1;
        if (piece < last) ++outcome.out_of_order;
        last = piece;
        ++(done[i].error == Error::kNone ? outcome.done : outcome.failed);
        if (done[i].error == Error::kNone && piece < kPieces && !jobs.right(piece)) outcome.wrong = true;
      }
    }
    thaw_heap_on_this_thread();
    outcome.allocations = frozen_allocations() - before;
    outcome.stuck = next < kPieces || outcome.done + outcome.failed < taken;
    return outcome;
  }

  Jobs jobs;
  std::unique_ptr<BluefieldDevice> device;
  std::unique_ptr<BluefieldMemory> memory;
  std::unique_ptr<BluefieldReach> reach;
  std::unique_ptr<typename Side::Engine> engine;
};

bool kept_promises(const Outcome& outcome) {
  return !outcome.wrong && !outcome.twice && !outcome.stuck && doca_double::complaints().empty();
}

class BluefieldEngineTest : public OnTheDouble {
 protected:
  // Each check: sets the device up, runs everything, and says whether the engine did what it should.
  template <typename Side>
  bool busy_is_waited_for() {
    doca_double::start_over();
    Rig<Side> rig;
    behaviour().busy_submits = 5;
    behaviour().busy_every = 3;
    const Outcome outcome = rig.run();
    EXPECT_GT(doca_double::counts().busy, 10u);
    return kept_promises(outcome) && outcome.refused == 0 && outcome.done == kPieces;
  }
  template <typename Side>
  bool failures_are_told() {
    doca_double::start_over();
    Rig<Side> rig;
    behaviour().failing_every = 4;
    const Outcome outcome = rig.run();
    EXPECT_EQ(doca_double::counts().failed, kPieces / 4);
    return kept_promises(outcome) && outcome.failed == kPieces / 4 && outcome.refused == 0;
  }
  template <typename Side>
  bool order_does_not_matter() {
    doca_double::start_over();
    Rig<Side> rig;
    behaviour().reorder_seed = 11;
    const Outcome outcome = rig.run();
    EXPECT_GT(doca_double::counts().out_of_order, 10u);
    return kept_promises(outcome) && outcome.done == kPieces;
  }
  template <typename Side>
  bool a_reset_is_survived() {
    doca_double::start_over();
    Rig<Side> rig;
    behaviour().resets_after_tasks = 20;
    const Outcome outcome = rig.run();
    EXPECT_EQ(doca_double::counts().resets, 1u);
    // What was under way failed, what came later was refused; then it is lost, and works again once revived.
    const bool told = kept_promises(outcome) && outcome.failed > 0 && outcome.refused > 0 &&
                      outcome.done + outcome.failed + outcome.refused == kPieces && rig.engine->lost();
    if (!told || !rig.engine->revive() || rig.engine->lost()) return false;
    const Outcome again = rig.run();
    return kept_promises(again) && again.done == kPieces;
  }
};

constexpr DocaHandling kAll{};
constexpr DocaHandling kNoBusy{.busy = false};
constexpr DocaHandling kNoFailedTask{.failed_task = false};
constexpr DocaHandling kNoOrder{.any_order = false};
constexpr DocaHandling kNoReset{.reset = false};

TEST_F(BluefieldEngineTest, DoesAllWorkAndAllocatesNothing) {
  {
    Rig<InflateSide<kAll>> inflate;
    const Outcome inflated = inflate.run();
    EXPECT_TRUE(kept_promises(inflated));
    EXPECT_EQ(inflated.done, kPieces);
    EXPECT_GT(inflated.busy, 0u) << "40 pieces do not fit 8 places";
    EXPECT_EQ(inflated.allocations, 0u);
    Rig<CopySide<kAll>> copy;
    const Outcome copied = copy.run();
    EXPECT_TRUE(kept_promises(copied));
    EXPECT_EQ(copied.done, kPieces);
    EXPECT_EQ(copied.allocations, 0u);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, TellsWhatItTakesAndRefusesTheRest) {
  {
    Rig<InflateSide<kAll>> rig;
    EXPECT_EQ(rig.engine->abilities().depth, kDepth);
    EXPECT_EQ(rig.engine->abilities().coders, 2u);
    InflateTask task = rig.jobs.inflate(0);
    task.coder = static_cast<uint8_t>(CoderId::kZstd);
    EXPECT_EQ(rig.engine->submit(task).error(), Error::kUnsupported);
    task = rig.jobs.inflate(0);
    std::vector<std::byte> elsewhere(kPieceBytes);
    task.symbols = elsewhere;
    EXPECT_EQ(rig.engine->submit(task).error(), Error::kUnsupported)
        << "memory that nobody told the device of";
    EXPECT_EQ(doca_double::counts().submits, 0u);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, ADeviceWithFewTasksHasLessDepth) {
  behaviour().tasks_max = 3;
  {
    Rig<CopySide<kAll>> rig;
    EXPECT_EQ(rig.engine->abilities().depth, 3u);
    EXPECT_EQ(rig.run().done, kPieces);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, HostileFramesFailAndNothingElse) {
  {
    Rig<InflateSide<kAll>> rig;
    rig.jobs.spoil(3);
    const Outcome outcome = rig.run();
    EXPECT_TRUE(kept_promises(outcome));
    EXPECT_EQ(outcome.failed, 1u);
    EXPECT_EQ(outcome.done, kPieces - 1);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, AStreamThatEndsEarlyIsAFailure) {
  {
    Rig<InflateSide<kAll>> rig;
    // One symbol more is promised than the stream holds.
    InflateTask task = rig.jobs.inflate(0);
    task.symbols = {task.symbols.data(), kPieceBytes + 1};
    ASSERT_TRUE(rig.engine->submit(task));
    InflateDone done[1];
    ASSERT_EQ(rig.engine->poll(done), 1u);
    EXPECT_EQ(done[0].error, Error::kSystem);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, ABusyDeviceIsWaitedFor) {
  EXPECT_TRUE(busy_is_waited_for<InflateSide<kAll>>());
  EXPECT_TRUE(busy_is_waited_for<CopySide<kAll>>());
  EXPECT_FALSE(busy_is_waited_for<InflateSide<kNoBusy>>()) << "negative control";
  EXPECT_FALSE(busy_is_waited_for<CopySide<kNoBusy>>()) << "negative control";
  expect_clean();
}

TEST_F(BluefieldEngineTest, FailedTasksAreTold) {
  EXPECT_TRUE(failures_are_told<InflateSide<kAll>>());
  EXPECT_TRUE(failures_are_told<CopySide<kAll>>());
  EXPECT_FALSE(failures_are_told<InflateSide<kNoFailedTask>>()) << "negative control";
  EXPECT_FALSE(failures_are_told<CopySide<kNoFailedTask>>()) << "negative control";
  expect_clean();
}

TEST_F(BluefieldEngineTest, TasksMayEndInAnyOrder) {
  EXPECT_TRUE(order_does_not_matter<InflateSide<kAll>>());
  EXPECT_TRUE(order_does_not_matter<CopySide<kAll>>());
  EXPECT_FALSE(order_does_not_matter<InflateSide<kNoOrder>>()) << "negative control";
  EXPECT_FALSE(order_does_not_matter<CopySide<kNoOrder>>()) << "negative control";
  (void)doca_double::complaints();
  EXPECT_EQ(doca_double::objects_alive(), 0u);
}

TEST_F(BluefieldEngineTest, AResetFailsWhatIsUnderWayAndIsRecoveredFrom) {
  EXPECT_TRUE(a_reset_is_survived<InflateSide<kAll>>());
  EXPECT_TRUE(a_reset_is_survived<CopySide<kAll>>());
  EXPECT_FALSE(a_reset_is_survived<InflateSide<kNoReset>>()) << "negative control";
  EXPECT_FALSE(a_reset_is_survived<CopySide<kNoReset>>()) << "negative control";
  expect_clean();
}

TEST_F(BluefieldEngineTest, AnIdleEngineLearnsOfAResetAtTheNextTask) {
  {
    Rig<CopySide<kAll>> rig;
    doca_double::reset_device();
    EXPECT_FALSE(rig.engine->lost());
    EXPECT_EQ(rig.engine->submit(rig.jobs.copy(0)).error(), Error::kSystem);
    EXPECT_TRUE(rig.engine->lost());
    behaviour().starts_failing = 2;
    EXPECT_FALSE(rig.engine->revive());
    EXPECT_FALSE(rig.engine->revive());
    EXPECT_TRUE(rig.engine->lost());
    behaviour().starts_later = true;
    ASSERT_TRUE(rig.engine->revive());
    EXPECT_EQ(rig.run().done, kPieces);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, WhatTakesTooLongCanBeAskedBack) {
  {
    Rig<InflateSide<kAll>> rig;
    behaviour().holding = true;
    for (size_t i = 0; i < kDepth; ++i) ASSERT_TRUE(rig.engine->submit(rig.jobs.inflate(i)));
    InflateDone done[16];
    EXPECT_EQ(rig.engine->poll(done), 0u);
    rig.engine->abandon();
    size_t back = 0;
    for (int i = 0; i < 100 && back < kDepth; ++i) back += rig.engine->poll(done);
    EXPECT_EQ(back, kDepth);
    EXPECT_TRUE(rig.engine->lost());
    behaviour().holding = false;
    ASSERT_TRUE(rig.engine->revive());
    EXPECT_EQ(rig.run().done, kPieces);
  }
  expect_clean();
}

TEST_F(BluefieldEngineTest, EndsWithWorkUnderWay) {
  {
    Rig<CopySide<kAll>> rig;
    behaviour().holding = true;
    for (size_t i = 0; i < kDepth; ++i) ASSERT_TRUE(rig.engine->submit(rig.jobs.copy(i)));
  }
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
