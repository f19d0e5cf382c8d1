// The CUDA copy engine between two processes: every byte, both ways, and what becomes of copies that cannot
// be.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "gpu/staging_owner.h"
#include "kernels/cuda_copy_engine.h"
#include "memory/frozen_heap.h"
#include "memory/shared_region.h"

namespace shadowserve {
namespace {

constexpr uint32_t kSlots = CudaCopyEngine::kDepth;
constexpr uint64_t kSlotBytes = 2 << 20;
constexpr uint64_t kSlotWords = kSlotBytes / sizeof(uint64_t);
constexpr uint64_t kBytes = kSlots * kSlotBytes;

// Made by main() before anything uses CUDA.
StagingOwner* owner = nullptr;

// Slots are not copied to the place of the same number.
uint64_t place_of(uint64_t slot) { return slot * 37 % kSlots; }

class CopyAcross : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu_count() == 0) GTEST_SKIP() << "there is no GPU here: nothing of this was tested";
    auto region = SharedRegion::create("gpu-test-slots", kBytes);
    ASSERT_TRUE(region);
    region_ = std::move(*region);
    auto slots = RegisteredMemory::create(region_.span());
    ASSERT_TRUE(slots);
    slots_ = std::move(*slots);
    auto engine = CudaCopyEngine::create(0, slots_);
    ASSERT_TRUE(engine);
    engine_ = std::move(*engine);
  }

  uint64_t* slot_words(uint64_t slot) {
    return reinterpret_cast<uint64_t*>(region_.data()) + slot * kSlotWords;
  }

  void fill_slots(uint64_t seed) {
    for (uint64_t slot = 0; slot < kSlots; ++slot)
      for (uint64_t i = 0; i < kSlotWords; ++i)
        slot_words(slot)[i] = pattern_word(seed, place_of(slot) * kSlotWords + i);
  }

  CopyTask task(uint64_t slot, std::byte* device, bool deliver) {
    std::byte* host = region_.data() + slot * kSlotBytes;
    std::byte* there = device + place_of(slot) * kSlotBytes;
    return deliver ? CopyTask{there, host, kSlotBytes, slot} : CopyTask{host, there, kSlotBytes, slot};
  }

  // All completions of what is under way, in order; fewer when they take longer than 10 s.
  std::vector<CopyDone> wait_for(size_t count) {
    std::vector<CopyDone> all;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (all.size() < count && std::chrono::steady_clock::now() < end) {
      CopyDone some[7];
      const size_t got = engine_->poll(some);
      all.insert(all.end(), some, some + got);
    }
    return all;
  }

  void copy_all(std::byte* device, bool deliver) {
    for (uint64_t slot = 0; slot < kSlots; ++slot) ASSERT_TRUE(engine_->submit(task(slot, device, deliver)));
    const auto refused = engine_->submit(task(0, device, deliver));
    ASSERT_FALSE(refused) << "the queue has no end";
    EXPECT_EQ(refused.error(), Error::kNoCapacity);
    const std::vector<CopyDone> done = wait_for(kSlots);
    ASSERT_EQ(done.size(), kSlots);
    for (uint64_t i = 0; i < kSlots; ++i) {
      EXPECT_EQ(done[i].ticket, i);
      EXPECT_EQ(done[i].error, Error::kNone);
    }
  }

  Error copy_one(std::byte* device) {
    EXPECT_TRUE(engine_->submit(task(0, device, true)));
    const std::vector<CopyDone> done = wait_for(1);
    return done.empty() ? Error::kDeadline : done[0].error;
  }

  SharedRegion region_;
  RegisteredMemory slots_;
  std::unique_ptr<CudaCopyEngine> engine_;
};

TEST_F(CopyAcross, EverySlotArrives) {
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  fill_slots(5);
  copy_all(staging->data(), true);
  EXPECT_EQ(owner->differing_words(5), 0u);
  EXPECT_GT(owner->differing_words(6), kBytes / 16) << "the check finds nothing";
}

TEST_F(CopyAcross, EverySlotComesBack) {
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  owner->fill(7);
  copy_all(staging->data(), false);
  uint64_t differing = 0;
  for (uint64_t slot = 0; slot < kSlots; ++slot)
    for (uint64_t i = 0; i < kSlotWords; ++i)
      differing += slot_words(slot)[i] != pattern_word(7, place_of(slot) * kSlotWords + i);
  EXPECT_EQ(differing, 0u);
}

TEST_F(CopyAcross, BadHandlesAreRefused) {
  const DeviceMemoryHandle good = owner->allocate(kBytes);
  EXPECT_FALSE(DeviceMemory::open({.bytes = kBytes})) << "zeroes";
  DeviceMemoryHandle bad = good;
  for (std::byte& byte : bad.opaque) byte ^= std::byte{0xa5};
  EXPECT_FALSE(DeviceMemory::open(bad)) << "flipped";
  bad = good;
  bad.device = gpu_count();
  EXPECT_FALSE(DeviceMemory::open(bad)) << "another device";
  bad = good;
  bad.bytes = kBytes * 4;
  const auto longer = DeviceMemory::open(bad);
  ASSERT_FALSE(longer) << "more than there is";
  EXPECT_EQ(longer.error(), Error::kConfig);
  owner->free();
  EXPECT_FALSE(DeviceMemory::open(good)) << "freed";
  // None of this was held against the next one.
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  EXPECT_EQ(copy_one(staging->data()), Error::kNone);
}

TEST_F(CopyAcross, CopyToMemoryThatIsGoneFailsAlone) {
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  std::byte* gone = staging->data();
  *staging = DeviceMemory();
  EXPECT_EQ(copy_one(gone), Error::kSystem);
  auto again = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(again);
  EXPECT_EQ(copy_one(again->data()), Error::kNone);
}

TEST_F(CopyAcross, CopiesTakeNothingFromTheHeap) {
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  ASSERT_EQ(copy_one(staging->data()), Error::kNone);
  const uint64_t before = frozen_allocations();
  double longest_us = 0;
  freeze_heap_on_this_thread();
  size_t done = 0;
  for (uint64_t i = 0; i < 4 * kSlots;) {
    const auto start = std::chrono::steady_clock::now();
    if (engine_->submit(task(i % kSlots, staging->data(), true))) {
      const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
      longest_us = std::max(longest_us, took.count());
      ++i;
    }
    CopyDone some[kSlots];
    done += engine_->poll(some);
  }
  thaw_heap_on_this_thread();
  std::printf("%llu allocations (the driver's) in %u copies, longest submit %.1f us\n",
              static_cast<unsigned long long>(frozen_allocations() - before), 4 * kSlots, longest_us);
  EXPECT_TRUE(heap_is_watched());
  EXPECT_EQ(frozen_allocations() - before, 0u);
  EXPECT_EQ(done + wait_for(4 * kSlots - done).size(), 4 * kSlots);
}

// The last one: the owner does not come back.
TEST_F(CopyAcross, OwnerThatDiesTakesNobodyAlong) {
  auto staging = DeviceMemory::open(owner->allocate(kBytes));
  ASSERT_TRUE(staging);
  for (uint64_t slot = 0; slot < kSlots; ++slot)
    ASSERT_TRUE(engine_->submit(task(slot, staging->data(), true)));
  owner->end(SIGKILL);
  EXPECT_EQ(wait_for(kSlots).size(), kSlots);
  std::printf("a copy into a dead owner's memory ends with \"%s\"\n",
              std::string(error_name(copy_one(staging->data()))).c_str());
  *staging = DeviceMemory();
  auto own = DeviceMemory::allocate(0, kBytes);
  ASSERT_TRUE(own);
  EXPECT_EQ(copy_one(own->data()), Error::kNone);
}

}  // namespace
}  // namespace shadowserve

int main(int argc, char** argv) {
  shadowserve::StagingOwner owner;
  shadowserve::owner = &owner;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
