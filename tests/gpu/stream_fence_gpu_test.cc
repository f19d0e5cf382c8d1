// The mover and the engine's streams: who waits for whom, and graphs that are captured meanwhile.
#include <gtest/gtest.h>

#include "gpu/mover_on_gpu.h"

namespace shadowserve {
namespace {

using std::chrono::milliseconds;

class FencesOnGpu : public MoverOnGpu {
 protected:
  // What the engine writes to all pages before it lets the chunks be scattered into them.
  static constexpr int kWritten = 0x5a;
  std::vector<std::byte> scattered_over_written() {
    std::fill(host_->pages.begin(), host_->pages.end(), std::byte{kWritten});
    return host_->expected(true);
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, FencesOnGpu, kPagedWays, name_of_way);

TEST_P(FencesOnGpu, ScatterComesAfterTheEngine) {
  // Of another link, so that a gather can go on meanwhile; and nothing below waits for the whole device.
  const TestStaging other = TestStaging::of(std::vector<std::byte>(host_->staging.size()), GetParam());
  HeldStream engine;
  engine.hold();
  engine.write(pages_, kWritten);
  add_all(PagedDirection::kScatter, engine.fence());
  expect_nothing_for(milliseconds(50));

  PagedPart gathered = part(0, PagedDirection::kGather);
  gathered.ticket = 77;
  ASSERT_TRUE(mover_->add(gathered, other.span(), nullptr));
  mover_->flush();
  const std::vector<PagedDone> done = wait_for(1);
  ASSERT_EQ(done.size(), 1u) << "the other direction waits too";
  EXPECT_EQ(done[0].ticket, 77u);
  expect_nothing_for(milliseconds(20));

  engine.release();
  expect_all_well(part_count());
  engine.finish();
  EXPECT_TRUE(from_device(pages_) == scattered_over_written());
}

// Negative control: what the fence is for.
TEST_P(FencesOnGpu, WithoutOneTheEngineOverwrites) {
  HeldStream engine;
  engine.hold();
  engine.write(pages_, kWritten);
  add_all(PagedDirection::kScatter);
  expect_all_well(part_count());
  engine.release();
  engine.finish();
  const std::vector<std::byte> pages = from_device(pages_);
  EXPECT_TRUE(pages == std::vector<std::byte>(pages.size(), std::byte{kWritten}));
  EXPECT_FALSE(pages == scattered_over_written());
}

TEST_P(FencesOnGpu, GatherComesAfterTheEngine) {
  HeldStream engine;
  engine.hold();
  engine.write(pages_, kWritten);
  add_all(PagedDirection::kGather, engine.fence());
  expect_nothing_for(milliseconds(20));
  engine.release();
  expect_all_well(part_count());
  std::fill(host_->pages.begin(), host_->pages.end(), std::byte{kWritten});
  EXPECT_TRUE(staging_.read() == host_->expected(false));
}

// More fences than one launch remembers, each let go of by everybody else before it is passed.
TEST_P(FencesOnGpu, ManyFences) {
  constexpr size_t kParts = 3 * PagedMover::kBatchFences + 1;
  HeldStream engine;
  engine.hold();
  engine.write(pages_, kWritten);
  for (size_t i = 0; i < kParts; ++i) {
    PagedPart again = part(i % part_count());
    again.ticket = i;
    ASSERT_TRUE(add(again, engine.fence()));
  }
  mover_->flush();
  expect_nothing_for(milliseconds(20));
  engine.release();
  expect_all_well(kParts);
  EXPECT_TRUE(from_device(pages_) == scattered_over_written());
}

TEST_P(FencesOnGpu, AMoverThatEndsWaitsForWhatIsUnderWay) {
  HeldStream engine;
  engine.hold();
  engine.write(pages_, kWritten);
  add_all(PagedDirection::kScatter, engine.fence());
  std::thread later([&engine] {
    std::this_thread::sleep_for(milliseconds(50));
    engine.release();
  });
  mover_.reset();
  EXPECT_TRUE(from_device(pages_) == scattered_over_written());
  later.join();
}

TEST_P(FencesOnGpu, AStreamThatIsCapturedHasNone) {
  HeldStream engine;
  ASSERT_EQ(cudaStreamBeginCapture(engine.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  const auto fence = StreamFence::record(0, engine.get());
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(engine.get(), &graph), cudaSuccess) << "the capture was spoiled";
  cudaGraphDestroy(graph);
  ASSERT_FALSE(fence);
  EXPECT_EQ(fence.error(), Error::kSystem);
  EXPECT_TRUE(StreamFence::record(0, engine.get()));
}

TEST_P(FencesOnGpu, CapturesGoOnWhilePartsMove) {
  HeldStream engine;
  const auto fence = engine.fence();
  ASSERT_EQ(cudaStreamBeginCapture(engine.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  add_all(PagedDirection::kScatter, fence);
  expect_all_well(part_count());
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(engine.get(), &graph), cudaSuccess) << "the capture was spoiled";
  if (graph != nullptr) cudaGraphDestroy(graph);

  // Negative control: the same question asked as anybody would.
  ASSERT_EQ(cudaStreamBeginCapture(engine.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  cudaEventQuery(static_cast<cudaEvent_t>(fence->event()));
  graph = nullptr;
  EXPECT_NE(cudaStreamEndCapture(engine.get(), &graph), cudaSuccess) << "captures need no care";
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
}

}  // namespace
}  // namespace shadowserve
