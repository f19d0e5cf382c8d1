// Test only: an engine of the C API, and a real data plane on a thread of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "plane/plane.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve {

inline constexpr uint32_t kLayers = 4;
inline constexpr uint32_t kHeads = 2;
inline constexpr uint32_t kDim = 64;
inline constexpr uint32_t kPageTokens = 128;
inline constexpr uint32_t kPages = 64;
inline constexpr size_t kPageBytes = size_t{kPageTokens} * 2 * kDim * 2;

inline std::string scratch(const std::string& name) {
  return "/tmp/ss-link-test-" + std::to_string(getpid()) + "-" + name;
}

inline bool eventually(const std::function<bool()>& condition, int timeout_ms = 10'000) {
  for (int waited = 0; waited < timeout_ms; ++waited) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

inline PlaneOptions plane_options(const std::string& store_url, bool separate_stages = false,
                                  const std::string& engines = "host") {
  PlaneOptions options;
  options.store_url = store_url;
  options.socket_path = scratch("plane.sock");
  options.pin_memory = false;
  options.separate_stages = separate_stages;
  options.engines = engines;
  return options;
}

class ThreadedPlane {
 public:
  explicit ThreadedPlane(const std::string& store_url, bool separate_stages = false,
                         const std::string& engines = "host")
      : ThreadedPlane(plane_options(store_url, separate_stages, engines)) {}
  explicit ThreadedPlane(const PlaneOptions& options) : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    std::string message;
    auto started = Plane::start(options, message);
    EXPECT_TRUE(started) << message;
    plane_ = std::move(*started);
    thread_ = std::thread([this] { plane_->serve(stop_fd_); });
  }
  ~ThreadedPlane() {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_fd_, &one, 8), 8);
    thread_.join();
    close(stop_fd_);
  }
  nlohmann::json stats() const { return nlohmann::json::parse(plane_->stats_json()); }

 private:
  int stop_fd_;
  std::unique_ptr<Plane> plane_;
  std::thread thread_;
};

inline ss_options engine_options(const char* profile, const char* fingerprint = "test model") {
  ss_options options{};
  options.struct_size = sizeof(options);
  static const std::string socket = scratch("plane.sock");
  options.socket_path = socket.c_str();
  options.client_name = "link test";
  options.model_fingerprint = fingerprint;
  options.profile = profile;
  options.layers = kLayers;
  options.kv_heads = kHeads;
  options.head_dim = kDim;
  options.lookup_timeout_ms = 2000;  // a shared machine may stand still longer than the default
  options.fetch_timeout_ms = 3000;
  options.staging_bytes = 16 << 20;
  return options;
}

/// An engine: paged memory of its own, filled with a seed's values, and both objects of the C API.
class Engine {
 public:
  explicit Engine(const ss_options& options) : memory_(kLayers * kPages * kHeads * kPageBytes) {
    char message[256] = "";
    ss_options scheduler = options;
    scheduler.shard = 0;  // it asks for all
    lookup = ss_lookup_open(&scheduler, message, sizeof(message));
    EXPECT_NE(lookup, nullptr) << message;
    transfer = ss_transfer_open(&options, message, sizeof(message));
    EXPECT_NE(transfer, nullptr) << message;
    std::vector<void*> bases;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      bases.push_back(memory_.data() + layer * kPages * kHeads * kPageBytes);
    }
    ss_pages pages{};
    pages.layout = SS_PAGES_VEC;
    pages.page_tokens = kPageTokens;
    pages.pages = kPages;
    pages.page_stride_bytes = kHeads * kPageBytes;
    pages.head_stride_bytes = kPageBytes;
    pages.layer_base = bases.data();
    pages.layers = kLayers;
    EXPECT_EQ(ss_transfer_register_pages(transfer, &pages, message, sizeof(message)), 0) << message;
    EXPECT_TRUE(eventually([&] {
      ss_transfer_stats worker{};
      ss_lookup_stats asking{};
      ss_transfer_read_stats(transfer, &worker);
      ss_lookup_read_stats(lookup, &asking);
      return worker.connected && asking.connected;
    }));
  }
  ~Engine() {
    ss_transfer_close(transfer);
    ss_lookup_close(lookup);
  }

  /// "Computes" pages: any bf16 in [-2, 2], different for each seed, layer and page.
  void compute(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.5);
    for (size_t i = 0; i + 1 < memory_.size(); i += 2) {
      const float value = normal(random);
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const auto bf16 = static_cast<uint16_t>(bits >> 16);
      std::memcpy(memory_.data() + i, &bf16, 2);
    }
  }
  /// Values of the tokens in these pages, [layer][K|V][token][channel].
  std::vector<std::byte> canonical(const std::vector<int32_t>& pages) const {
    constexpr size_t kPlanePage = size_t{kPageTokens} * kHeads * kDim * 2;  // one page's tokens of a plane
    std::vector<std::byte> values(kLayers * 2 * kPlanePage * pages.size()), page_values(2 * kPlanePage);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      for (size_t i = 0; i < pages.size(); ++i) {
        const ss_page_shape shape{SS_PAGES_VEC, kPageTokens, kHeads, kDim, 1, 2, kPageBytes};
        EXPECT_EQ(ss_gather_page(&shape, page(layer, pages[i]), page_values.data()), 0);
        for (size_t kind = 0; kind < 2; ++kind) {
          std::memcpy(values.data() + ((layer * 2 + kind) * pages.size() + i) * kPlanePage,
                      page_values.data() + kind * kPlanePage, kPlanePage);
        }
      }
    }
    return values;
  }
  const std::byte* page(uint32_t layer, int32_t id) const {
    return memory_.data() + (size_t{layer} * kPages + static_cast<size_t>(id)) * kHeads * kPageBytes;
  }

  std::vector<uint8_t> chain(const std::vector<uint32_t>& tokens) {
    std::vector<uint8_t> keys(tokens.size() / 256 * SS_KEY_BYTES);
    EXPECT_EQ(
        ss_chain(lookup, nullptr, tokens.data(), tokens.size(), nullptr, 0, keys.data(), keys.size() / 32),
        tokens.size() / 256);
    return keys;
  }
  int64_t stored(const std::vector<uint8_t>& keys) {
    ss_lookup_start(lookup, ++id_, keys.data(), keys.size() / 32);
    int64_t hits = SS_PENDING;
    EXPECT_TRUE(eventually([&] { return (hits = ss_lookup_poll(lookup, id_)) != SS_PENDING; }));
    ss_lookup_forget(lookup, id_);
    return hits;
  }
  ss_event wait_event() {
    ss_event event{};
    EXPECT_TRUE(eventually([&] { return ss_transfer_poll(transfer, &event, 1) == 1; }));
    return event;
  }
  void save(const std::vector<uint8_t>& keys, const std::vector<int32_t>& pages) {
    const auto chunks = static_cast<uint32_t>(keys.size() / 32);
    ss_transfer_stats before{};
    ss_transfer_read_stats(transfer, &before);
    ASSERT_EQ(ss_save(transfer, ++id_, keys.data(), 0, chunks, pages.data(), pages.size()), 0);
    EXPECT_EQ(wait_event().error, 0);
    ASSERT_TRUE(eventually([&] {
      ss_transfer_stats now{};
      ss_transfer_read_stats(transfer, &now);
      return now.save_stored == before.save_stored + chunks;
    }));
  }
  ss_event fetch(const std::vector<uint8_t>& keys, const std::vector<int32_t>& pages,
                 uint32_t first_token = 0) {
    const auto chunks = static_cast<uint32_t>(keys.size() / 32);
    EXPECT_EQ(ss_fetch(transfer, ++id_, keys.data(), 0, chunks, first_token, pages.data(), pages.size()), 0);
    return wait_event();
  }

  ss_lookup* lookup = nullptr;
  ss_transfer* transfer = nullptr;

 private:
  std::vector<std::byte> memory_;
  uint64_t id_ = 0;
};

inline std::vector<uint32_t> prompt(size_t tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> ids(tokens);
  for (uint32_t& id : ids) id = random() % 50'000;
  return ids;
}

inline std::vector<int32_t> table(int32_t first, size_t pages) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < pages; ++i) ids.push_back(first + static_cast<int32_t>((i * 7) % pages));
  return ids;
}

inline void expect_same_pages(const Engine& a, const std::vector<int32_t>& in_a, const Engine& b,
                              const std::vector<int32_t>& in_b, bool same = true) {
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    for (size_t i = 0; i < in_a.size(); ++i) {
      const bool equal =
          std::memcmp(a.page(layer, in_a[i]), b.page(layer, in_b[i]), kHeads * kPageBytes) == 0;
      ASSERT_EQ(equal, same) << "layer " << layer << " page " << i;
    }
  }
}

}  // namespace shadowserve
