// Engines with pages "on a GPU" and the real data plane: both ways of moving parts, from page to page.
#include <gtest/gtest.h>

#include <optional>

#include "cuda_double.h"
#include "gpu/mover_on_gpu.h"
#include "link/network_engine.h"

namespace shadowserve {
namespace {

constexpr uint32_t kBlockTokens = 16;
constexpr uint32_t kBlocks = 128;
constexpr size_t kBlockBytes = size_t{kBlockTokens} * kHeads * kDim * 2;  // of K, or V
constexpr size_t kLayerBytes = 2 * kBlocks * kBlockBytes;                 // [2][block][token][head][dim]

ss_pages pages_at(std::vector<void*>& layer_bases) {
  ss_pages pages{};
  pages.layout = SS_PAGES_STRIDED;
  pages.page_tokens = kBlockTokens;
  pages.pages = kBlocks;
  pages.plane_stride_bytes = kBlocks * kBlockBytes;
  pages.page_stride_bytes = kBlockBytes;
  pages.token_stride_bytes = size_t{kHeads} * kDim * 2;
  pages.head_stride_bytes = size_t{kDim} * 2;
  pages.layer_base = layer_bases.data();
  pages.layers = kLayers;
  return pages;
}

class GpuEngine {
 public:
  GpuEngine(const char* profile, bool direct, uint8_t filling)
      : GpuEngine(on_gpu(engine_options(profile), direct), filling) {}
  static ss_options on_gpu(ss_options options, bool direct) {
    options.device = 1;
    options.direct_pages = direct ? 1 : 0;
    return options;
  }
  GpuEngine(const ss_options& options, uint8_t filling)
      : pages_(on_device(std::vector<std::byte>(kLayers * kLayerBytes, std::byte{filling}))) {
    char message[256] = "";
    transfer = ss_transfer_open(&options, message, sizeof message);
    EXPECT_NE(transfer, nullptr) << message;
    std::vector<void*> bases;
    for (uint32_t layer = 0; layer < kLayers; ++layer) bases.push_back(pages_.data() + layer * kLayerBytes);
    const ss_pages pages = pages_at(bases);
    EXPECT_EQ(ss_transfer_register_pages(transfer, &pages, message, sizeof message), 0) << message;
    EXPECT_TRUE(connected());
  }
  ~GpuEngine() { ss_transfer_close(transfer); }

  bool connected() {
    return eventually([this] { return stats().connected == 1; });
  }
  ss_transfer_stats stats() const {
    ss_transfer_stats now{};
    ss_transfer_read_stats(transfer, &now);
    return now;
  }
  /// Any bf16 in [-2, 2].
  void compute(uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-2, 2);
    for (size_t i = 0; i < pages_.size(); i += 2) {
      const float value = uniform(random);
      std::memcpy(pages_.data() + i, reinterpret_cast<const std::byte*>(&value) + 2, 2);
    }
  }
  std::vector<std::byte> block(uint32_t layer, uint32_t kind, int32_t id) const {
    const std::byte* at =
        pages_.data() + layer * kLayerBytes + (kind * kBlocks + static_cast<size_t>(id)) * kBlockBytes;
    return {at, at + kBlockBytes};
  }
  void save(const std::vector<uint8_t>& keys, const std::vector<int32_t>& blocks) {
    const auto chunks = static_cast<uint32_t>(keys.size() / SS_KEY_BYTES);
    const uint64_t before = stats().save_stored;
    ASSERT_EQ(ss_transfer_fence(transfer, stream.get()), 0);
    ASSERT_EQ(ss_save(transfer, ++id_, keys.data(), 0, chunks, blocks.data(), blocks.size()), 0);
    EXPECT_EQ(wait_event().error, 0);
    ASSERT_TRUE(eventually([&] { return stats().save_stored == before + chunks; }));
  }
  void start_fetch(const std::vector<uint8_t>& keys, const std::vector<int32_t>& blocks,
                   uint32_t first_token = 0) {
    ASSERT_EQ(ss_transfer_fence(transfer, stream.get()), 0);
    const auto chunks = static_cast<uint32_t>(keys.size() / SS_KEY_BYTES);
    ASSERT_EQ(ss_fetch(transfer, ++id_, keys.data(), 0, chunks, first_token, blocks.data(), blocks.size()),
              0);
  }
  ss_event wait_event() {
    ss_event event{};
    EXPECT_TRUE(eventually([&] { return ss_transfer_poll(transfer, &event, 1) == 1; }));
    return event;
  }

  HeldStream stream;  ///< what the engine computes in
  ss_transfer* transfer = nullptr;

 private:
  DeviceMemory pages_;
  uint64_t id_ = 0;
};

class GpuEngineTest : public testing::TestWithParam<PagedWay> {
 protected:
  GpuEngineTest() {
    cuda_double::reset();
    plane_.emplace("memory:");
    keys_.resize(2 * SS_KEY_BYTES);
    for (size_t i = 0; i < keys_.size(); ++i) keys_[i] = static_cast<uint8_t>(i * 11);
    here_ = table(3, 32);
    there_ = table(70, 32);
  }
  static bool direct() { return GetParam() == PagedWay::kCopies; }
  /// Number of the 32 blocks whose K and V in all layers are the saver's.
  size_t same_blocks(const GpuEngine& saver, const GpuEngine& fetcher) const {
    size_t same = 0;
    for (size_t i = 0; i < here_.size(); ++i) {
      bool all = true;
      for (uint32_t layer = 0; layer < kLayers; ++layer)
        for (uint32_t kind : {0u, 1u})
          all = all && saver.block(layer, kind, here_[i]) == fetcher.block(layer, kind, there_[i]);
      same += all;
    }
    return same;
  }

  std::optional<ThreadedPlane> plane_;
  std::vector<uint8_t> keys_;
  std::vector<int32_t> here_, there_;
  cuda_double::Noticed& noticed_ = cuda_double::noticed();
};
INSTANTIATE_TEST_SUITE_P(Ways, GpuEngineTest, kPagedWays, name_of_way);

TEST_P(GpuEngineTest, FetchesWhatAnotherSavedBitForBit) {
  GpuEngine saver("raw", direct(), 1), fetcher("raw", direct(), 2);
  saver.compute(1);
  saver.save(keys_, here_);
  EXPECT_EQ(same_blocks(saver, fetcher), 0u);  // negative control
  fetcher.start_fetch(keys_, there_);
  const ss_event event = fetcher.wait_event();
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.chunks_placed, 2u);
  EXPECT_EQ(same_blocks(saver, fetcher), 32u);
  EXPECT_EQ(fetcher.block(0, 0, 0), std::vector<std::byte>(kBlockBytes, std::byte{2}))
      << "nobody asked for it";
  EXPECT_EQ(noticed_.kernels > 0, !direct());
  EXPECT_EQ(noticed_.batches > 0, direct());
  EXPECT_EQ(noticed_.under_way, 0u);
  // The layers' addresses, once for each mover of kernels.
  EXPECT_EQ(noticed_.pageable, direct() ? 0u : 2u);
}

// The ways may meet in one store: records are the same.
TEST_P(GpuEngineTest, FetchesWhatTheOtherWaySaved) {
  GpuEngine saver("kv4", direct(), 1), other("kv4", !direct(), 2), same("kv4", direct(), 3);
  saver.compute(5);
  saver.save(keys_, here_);
  for (GpuEngine* fetcher : {&other, &same}) {
    fetcher->start_fetch(keys_, there_);
    EXPECT_EQ(fetcher->wait_event().error, 0);
  }
  for (int32_t id : there_) EXPECT_EQ(other.block(2, 1, id), same.block(2, 1, id));
}

TEST_P(GpuEngineTest, LeavesTheFirstTokensToTheEngine) {
  GpuEngine saver("raw", direct(), 1), fetcher("raw", direct(), 2);
  saver.compute(1);
  saver.save(keys_, here_);
  fetcher.start_fetch(keys_, there_, 40);
  EXPECT_EQ(fetcher.wait_event().error, 0);
  EXPECT_EQ(same_blocks(saver, fetcher), 29u);
  EXPECT_EQ(fetcher.block(1, 1, there_[1]), std::vector<std::byte>(kBlockBytes, std::byte{2}));
  const std::vector<std::byte> mixed = fetcher.block(1, 1, there_[2]), whole = saver.block(1, 1, here_[2]);
  const size_t row = size_t{kHeads} * kDim * 2;
  EXPECT_TRUE(
      std::all_of(mixed.begin(), mixed.begin() + 8 * row, [](std::byte b) { return b == std::byte{2}; }));
  EXPECT_TRUE(std::equal(mixed.begin() + 8 * row, mixed.end(), whole.begin() + 8 * row));
}

TEST_P(GpuEngineTest, ADriverThatRefusesIsAMiss) {
  GpuEngine saver("raw", direct(), 1), fetcher("raw", direct(), 2);
  saver.compute(1);
  saver.save(keys_, here_);
  cuda_double::refuse_copies(1000);
  fetcher.start_fetch(keys_, there_);
  const ss_event failed = fetcher.wait_event();
  EXPECT_NE(failed.error, 0);
  EXPECT_EQ(failed.chunks_placed, 0u);
  cuda_double::refuse_copies(0);
  fetcher.start_fetch(keys_, there_);
  EXPECT_EQ(fetcher.wait_event().error, 0);
  EXPECT_EQ(same_blocks(saver, fetcher), 32u);
}

// The plane dies while parts wait for the engine's stream, and another one comes, twice: what they are moved
// from is there until they have been, and nobody hears that they are well.
TEST_P(GpuEngineTest, StagingMemoryOutlivesItsLink) {
  {
    GpuEngine saver("raw", direct(), 1);
    saver.compute(1);
    saver.save(keys_, here_);
  }
  GpuEngine fetcher("raw", direct(), 2);
  fetcher.stream.hold();
  fetcher.start_fetch(keys_, there_);
  ASSERT_TRUE(eventually([this] { return plane_->stats()["funnels"]["fetch"]["ended"]["done"] >= 2; }));
  for (int round = 0; round < 2; ++round) {
    plane_.reset();
    ASSERT_TRUE(eventually([&] { return fetcher.stats().connected == 0; }));
    plane_.emplace("memory:");
    ASSERT_TRUE(fetcher.connected());
  }
  EXPECT_EQ(noticed_.under_way, 0u);
  fetcher.stream.release();
  EXPECT_NE(fetcher.wait_event().error, 0);
  // The new plane's store is empty, and the engine is well.
  fetcher.save(keys_, there_);
}

// Across machines, and on a SmartNIC, the data plane reaches host memory only.
TEST(GpuEngineOverTheNetwork, CopiesStraightFromTheWindow) {
  cuda_double::reset();
  const TestKeys keys;
  ThreadedPlane plane(network_plane_options(keys));
  const NetworkOptions network(keys, port_of(plane));
  GpuEngine saver(GpuEngine::on_gpu(network.options, true), 1);
  GpuEngine fetcher(GpuEngine::on_gpu(network.options, true), 2);
  saver.compute(1);
  const std::vector<uint8_t> chunk(SS_KEY_BYTES, 7);
  const std::vector<int32_t> here = table(3, 16), there = table(70, 16);
  saver.save(chunk, here);
  fetcher.start_fetch(chunk, there);
  EXPECT_EQ(fetcher.wait_event().error, 0);
  for (size_t i = 0; i < here.size(); ++i)
    EXPECT_EQ(saver.block(3, 1, here[i]), fetcher.block(3, 1, there[i]));
  EXPECT_EQ(plane.stats()["network"]["attached"], 2);
  EXPECT_EQ(cuda_double::noticed().pageable, 0u);

  const ss_options staged = GpuEngine::on_gpu(network.options, false);
  char message[256] = "";
  EXPECT_EQ(ss_transfer_open(&staged, message, sizeof message), nullptr);
  EXPECT_NE(std::string(message).find("or direct_pages"), std::string::npos) << message;
}

// Pages whose heads lie apart would have to be copied in pieces of some hundred bytes.
TEST(GpuEnginePages, WhoseHeadsLieApartAreNotCopied) {
  ss_options options = GpuEngine::on_gpu(engine_options("raw"), true);
  char message[256] = "";
  ss_transfer* transfer = ss_transfer_open(&options, message, sizeof message);
  ASSERT_NE(transfer, nullptr) << message;
  const DeviceMemory memory = on_device(std::vector<std::byte>(2 * kBlocks * kBlockBytes));
  std::vector<void*> bases(kLayers, memory.data());
  ss_pages pages = pages_at(bases);
  pages.token_stride_bytes = size_t{kDim} * 2;
  pages.head_stride_bytes = size_t{kBlockTokens} * kDim * 2;
  EXPECT_NE(ss_transfer_register_pages(transfer, &pages, message, sizeof message), 0);
  EXPECT_NE(std::string(message).find("heads of a token lie together"), std::string::npos) << message;
  ss_transfer_close(transfer);
}

}  // namespace
}  // namespace shadowserve
