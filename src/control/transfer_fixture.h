// Test only: a transfer and a fake plane, stepped in turn on one thread and a virtual clock.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

#include "control/fake_plane.h"
#include "control/test_engine.h"
#include "control/transfer.h"

namespace shadowserve {

class TransferTest : public testing::Test {
 protected:
  void open(ss_options given = one_part_options(), PageLayout layout = PageLayout::kVec) {
    options = checked(given, plane.path(), ClientRole::kTransfer);
    per_chunk = options.geometry().chunk_tokens / 32;
    pages = std::make_unique<TestPages>(options.geometry(), 64 * per_chunk, layout);
    transfer = std::make_unique<Transfer>(options, clock, Transfer::Thread::kStepped);
    std::string message;
    ASSERT_TRUE(transfer->register_pages(pages->described, message)) << message;
    pump();
    ASSERT_TRUE(transfer->worker().link().up());
  }
  // Lets both sides do all they can without time passing.
  void pump() {
    for (int idle = 0; idle < 3;) {
      const bool engine = transfer->worker().step();
      const bool other = plane.step();
      idle = engine || other ? 0 : idle + 1;
    }
  }
  void advance_ms(uint64_t ms) {
    clock.advance_ns(ms * kNsPerMs);
    pump();
  }
  std::vector<int32_t> table(int32_t first_page, uint32_t chunks) const {
    std::vector<int32_t> ids(chunks * per_chunk);
    std::iota(ids.begin(), ids.end(), first_page);
    return ids;
  }
  Result<void> save(uint64_t id, const std::vector<ChunkKey>& keys, const std::vector<int32_t>& ids) {
    return transfer->save({id, raw(keys), 0, static_cast<uint32_t>(keys.size()), 0, ids});
  }
  Result<void> fetch(uint64_t id, const std::vector<ChunkKey>& keys, const std::vector<int32_t>& ids,
                     uint32_t first_token = 0) {
    return transfer->fetch({id, raw(keys), 0, static_cast<uint32_t>(keys.size()), first_token, ids});
  }
  std::vector<ss_event> events() {
    std::vector<ss_event> out(128);
    out.resize(transfer->poll(out));
    return out;
  }
  ss_event only_event() {
    const auto all = events();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? ss_event{} : all[0];
  }
  void store_chunks(const std::vector<ChunkKey>& keys, int32_t first_page = 0) {
    pages->fill_random(3);
    ASSERT_TRUE(save(1, keys, table(first_page, static_cast<uint32_t>(keys.size()))));
    pump();
    ASSERT_EQ(only_event().error, 0);
  }
  ss_transfer_stats stats() {
    ss_transfer_stats out;
    transfer->read_stats(out);
    return out;
  }
  // Nothing leaked: every job is gone, every region free.
  void expect_clean() {
    EXPECT_TRUE(transfer->worker().idle());
    EXPECT_EQ(transfer->worker().staging().free(), transfer->worker().staging().size());
    const ss_transfer_stats now = stats();
    const auto sum = [](const uint64_t(&counts)[SS_ERROR_COUNT]) {
      return std::accumulate(std::begin(counts), std::end(counts), uint64_t{0});
    };
    EXPECT_EQ(now.fetch_asked, now.fetch_placed + sum(now.fetch_failed));
    EXPECT_EQ(now.save_asked, now.save_stored + sum(now.save_failed));
  }

  VirtualClock clock;
  FakePlane plane{"transfer"};
  ClientOptions options;
  uint32_t per_chunk = 0;
  std::unique_ptr<TestPages> pages;
  std::unique_ptr<Transfer> transfer;
};

}  // namespace shadowserve
