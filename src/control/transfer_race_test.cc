// Transfers with their own thread: cancelled saves against an engine that overwrites pages, and deaths of the
// plane.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "control/fake_plane.h"
#include "control/test_engine.h"
#include "control/transfer.h"

namespace shadowserve {
namespace {

using namespace std::chrono_literals;

class TransferRaceTest : public testing::Test {
 protected:
  explicit TransferRaceTest(ss_options given = one_part_options()) {
    plane.start();
    options = checked(given, plane.path(), ClientRole::kTransfer);
    pages = std::make_unique<TestPages>(options.geometry(), 64);
    transfer = std::make_unique<Transfer>(options, clock);
    std::string message;
    SS_CHECK(transfer->register_pages(pages->described, message).has_value(), "test pages are right");
  }
  // Every element of the given pages, as an engine's forward pass would write them.
  void overwrite(uint32_t first_page, uint32_t count, uint16_t value) {
    const size_t page_bytes = pages->described.page_stride_bytes;
    for (uint32_t layer = 0; layer < options.geometry().layers; ++layer) {
      auto* at = reinterpret_cast<uint16_t*>(static_cast<std::byte*>(pages->described.layer_base[layer]) +
                                             first_page * page_bytes);
      for (size_t i = 0; i < count * page_bytes / 2; ++i) {
        std::atomic_ref<uint16_t>(at[i]).store(value, std::memory_order_relaxed);
      }
    }
  }
  std::vector<int32_t> table(int32_t first_page, uint32_t count) {
    std::vector<int32_t> ids(count);
    std::iota(ids.begin(), ids.end(), first_page);
    return ids;
  }
  // Polls until `count` events are there.
  std::vector<ss_event> wait_events(size_t count) {
    std::vector<ss_event> out;
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (out.size() < count && std::chrono::steady_clock::now() < until) {
      ss_event event;
      if (transfer->poll({&event, 1}) == 1) {
        out.push_back(event);
      } else {
        std::this_thread::sleep_for(20us);
      }
    }
    EXPECT_EQ(out.size(), count);
    return out;
  }
  ss_transfer_stats stats() {
    ss_transfer_stats out;
    transfer->read_stats(out);
    return out;
  }

  MonotonicClock clock;
  FakePlane plane{"race"};
  ClientOptions options;
  std::unique_ptr<TestPages> pages;
  std::unique_ptr<Transfer> transfer;
};

TEST_F(TransferRaceTest, NothingReadAfterACancelIsEverStored) {
  constexpr uint32_t kPages = 8;
  std::mt19937 random(1);
  uint64_t cancelled = 0, kept = 0;
  for (uint16_t round = 1; round <= 300; ++round) {
    overwrite(0, kPages, round);
    const auto keys = test_keys(kPages / 2, static_cast<uint8_t>(round % 200 + 1));
    ASSERT_TRUE(transfer->save({round, raw(keys), 0, kPages / 2, 0, table(0, kPages)}));
    const auto pause = std::chrono::microseconds(random() % 600);
    const auto until = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < until) {
    }
    transfer->cancel(round);
    overwrite(0, kPages, 0xdead);
    const auto ended = wait_events(1);
    ASSERT_EQ(ended.size(), 1u);
    (ended[0].error == 0 ? kept : cancelled) += 1;
    const auto guard = plane.lock();
    for (const auto& [key, values] : plane.store) {
      const auto* elements = reinterpret_cast<const uint16_t*>(values.data());
      for (size_t i = 0; i < values.size() / 2; ++i) ASSERT_NE(elements[i], 0xdead) << "round " << round;
    }
    plane.store.clear();
  }
  RecordProperty("cancelled", static_cast<int>(cancelled));
  RecordProperty("kept", static_cast<int>(kept));
  EXPECT_GT(cancelled + kept, 299u);
}

// Negative control: an engine that overwrites without a cancel does get its new values stored.
TEST_F(TransferRaceTest, WithoutACancelLaterValuesAreStored) {
  overwrite(0, 2, 1);
  plane.stop();  // so that the link is up but nothing moves before the overwrite
  const auto keys = test_keys(1);
  overwrite(0, 2, 0xdead);
  ASSERT_TRUE(transfer->save({1, raw(keys), 0, 1, 0, table(0, 2)}));
  plane.start();
  wait_events(1);
  for (int i = 0; i < 1000 && stats().save_stored == 0; ++i) std::this_thread::sleep_for(1ms);
  const auto guard = plane.lock();
  ASSERT_EQ(plane.store.size(), 1u);
  EXPECT_EQ(plane.store.begin()->second[0], std::byte{0xad});
}

TEST_F(TransferRaceTest, NothingIsWrittenAfterTheFetchedEvent) {
  const auto keys = test_keys(4);
  overwrite(0, 8, 7);
  ASSERT_TRUE(transfer->save({1, raw(keys), 0, 4, 0, table(0, 8)}));
  wait_events(1);
  for (int i = 0; i < 1000 && stats().save_stored < 4; ++i) std::this_thread::sleep_for(1ms);
  std::mt19937 random(2);
  for (uint64_t round = 10; round < 210; ++round) {
    ASSERT_TRUE(transfer->fetch({round, raw(keys), 0, 4, 0, table(16, 8)}));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    if (round % 2 == 0) transfer->cancel(round);
    wait_events(1);
    // Ours again: plain writes, so that the thread sanitizer sees any late one of the link thread.
    for (uint32_t page = 16; page < 24; ++page) {
      std::memset(
          static_cast<std::byte*>(pages->described.layer_base[0]) + page * pages->described.page_stride_bytes,
          0x11, pages->described.page_stride_bytes);
    }
  }
  EXPECT_EQ(stats().fetches, 200u);
}

TEST_F(TransferRaceTest, JobsSurviveAPlaneThatDiesAgainAndAgain) {
  const auto keys = test_keys(4);
  uint64_t id = 1;
  const auto wait_for = [this](auto reached) {
    for (int i = 0; i < 10'000 && !reached(stats()); ++i) std::this_thread::sleep_for(1ms);
    return reached(stats());
  };
  for (uint64_t life = 1; life <= 4; ++life) {
    ASSERT_TRUE(wait_for([life](const ss_transfer_stats& now) { return now.connects == life; }));
    for (int job = 0; job < 50; ++job) {
      ASSERT_TRUE(transfer->save({id++, raw(keys), 0, 4, 0, table(0, 8)}));
      ASSERT_TRUE(transfer->fetch({id++, raw(keys), 0, 4, 0, table(16, 8)}));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(life));
    {
      const auto guard = plane.lock();
      plane.die();
    }
    wait_events(100);
    ASSERT_TRUE(wait_for([life](const ss_transfer_stats& now) { return now.disconnects == life; }));
    const auto guard = plane.lock();
    plane.come_back();
  }
}

TEST_F(TransferRaceTest, ASilentPlaneHoldsNobodyLongerThanTheDeadline) {
  for (int i = 0; i < 5000 && stats().connected == 0; ++i) std::this_thread::sleep_for(1ms);
  {
    const auto guard = plane.lock();
    plane.hold = true;
  }
  ss_options given = one_part_options();
  given.fetch_timeout_ms = 200;
  options = checked(given, plane.path(), ClientRole::kTransfer);
  transfer = std::make_unique<Transfer>(options, clock);
  std::string message;
  ASSERT_TRUE(transfer->register_pages(pages->described, message));
  const auto keys = test_keys(4);
  const uint64_t asked = clock.now_ns();
  ASSERT_TRUE(transfer->fetch({1, raw(keys), 0, 4, 0, table(0, 8)}));
  const auto ended = wait_events(1);
  const uint64_t took_ms = (clock.now_ns() - asked) / kNsPerMs;
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].error, static_cast<ss_error>(Error::kDeadline));
  EXPECT_GE(took_ms, 200u);
  EXPECT_LE(took_ms, 600u) << "200 ms and a grace of 20 ms, on a busy machine";
}

TEST_F(TransferRaceTest, ClosingInTheMiddleOfWorkIsQuick) {
  const auto keys = test_keys(8);
  for (uint64_t id = 1; id < 20; ++id) {
    ASSERT_TRUE(transfer->save({id, raw(keys), 0, 8, 0, table(0, 16)}));
    ASSERT_TRUE(transfer->fetch({id, raw(keys), 0, 8, 0, table(16, 16)}));
  }
  const uint64_t before = clock.now_ns();
  transfer.reset();
  EXPECT_LE((clock.now_ns() - before) / kNsPerMs, 1'000u);
  std::memset(pages->bytes.data(), 1, pages->bytes.size());  // nobody else touches them now
}

}  // namespace
}  // namespace shadowserve
