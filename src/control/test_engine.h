// Test only: a small engine's options, pages and chunk keys.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "contract/check.h"
#include "control/client_options.h"
#include "control/page_map.h"
#include "control/transfer.h"

namespace shadowserve {

/// 256 layers of 1 head of 16, chunks of 64 tokens: so many small planes that a chunk has 8 parts. The
/// staging memory holds 15 of them.
inline ss_options many_part_options() {
  ss_options options{};
  options.struct_size = sizeof options;
  options.model_fingerprint = "test";
  options.profile = "raw";
  options.layers = 256;
  options.kv_heads = 1;
  options.head_dim = 16;
  options.chunk_tokens = 64;
  options.staging_bytes = 2u << 20;
  return options;
}

/// 2 layers of 2 heads of 16, chunks of 64 tokens: one part.
inline ss_options one_part_options() {
  ss_options options = many_part_options();
  options.layers = 2;
  options.kv_heads = 2;
  options.staging_bytes = 1u << 20;
  return options;
}

inline ClientOptions checked(ss_options options, const std::string& socket_path, ClientRole role) {
  options.socket_path = socket_path.c_str();
  std::string message;
  auto result = read_options(options, role, message);
  SS_CHECK(result.has_value(), "test options are right");
  return *result;
}

/// A copy is a snapshot to compare with; only the original is described.
class TestPages {
 public:
  TestPages(const KvGeometry& geometry, uint32_t pages, PageLayout layout = PageLayout::kVec)
      : geometry_(geometry) {
    shape_ = {layout, 32, geometry.kv_heads, geometry.head_dim, 0};
    shape_.head_stride_bytes = shape_.head_bytes();
    page_bytes_ = shape_.head_bytes() * geometry.kv_heads;
    bytes.resize(page_bytes_ * pages * geometry.layers);
    for (uint32_t layer = 0; layer < geometry.layers; ++layer) {
      base_.push_back(bytes.data() + page_bytes_ * pages * layer);
    }
    described.layout = static_cast<uint32_t>(layout);
    described.page_tokens = 32;
    described.pages = pages;
    described.page_stride_bytes = page_bytes_;
    described.head_stride_bytes = shape_.head_stride_bytes;
    described.layer_base = base_.data();
    described.layers = geometry.layers;
  }
  void fill_random(uint32_t seed) {
    std::mt19937_64 random(seed);
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      const uint64_t value = random();
      std::memcpy(bytes.data() + i, &value, 8);
    }
  }
  /// Element of (layer, kind, page, head, token, dim).
  uint16_t element(uint32_t layer, PlaneKind kind, uint32_t page, uint32_t head, uint32_t token,
                   uint32_t dim) const {
    uint16_t value;
    std::memcpy(&value,
                bytes.data() + (size_t{layer} * described.pages + page) * page_bytes_ +
                    head * shape_.head_stride_bytes + 2 * page_element(shape_, kind, token, dim),
                2);
    return value;
  }
  /// The same values for token `token` of two block tables?
  bool same_token(const TestPages& other, int32_t own_page, int32_t other_page, uint32_t token) const {
    for (uint32_t layer = 0; layer < geometry_.layers; ++layer) {
      for (PlaneKind kind : {PlaneKind::kKeys, PlaneKind::kValues}) {
        for (uint32_t head = 0; head < geometry_.kv_heads; ++head) {
          for (uint32_t dim = 0; dim < geometry_.head_dim; ++dim) {
            if (element(layer, kind, static_cast<uint32_t>(own_page), head, token, dim) !=
                other.element(layer, kind, static_cast<uint32_t>(other_page), head, token, dim)) {
              return false;
            }
          }
        }
      }
    }
    return true;
  }

  std::vector<std::byte> bytes;
  ss_pages described{};

 private:
  KvGeometry geometry_;
  PageShape shape_;
  size_t page_bytes_;
  std::vector<void*> base_;
};

inline std::vector<ChunkKey> test_keys(size_t count, uint8_t salt = 0) {
  std::vector<ChunkKey> keys(count);
  for (size_t i = 0; i < count; ++i) {
    keys[i].fill(std::byte{salt});
    keys[i][0] = static_cast<std::byte>(i);
    keys[i][1] = static_cast<std::byte>(i >> 8);
  }
  return keys;
}

inline const uint8_t* raw(const std::vector<ChunkKey>& keys) {
  return reinterpret_cast<const uint8_t*>(keys.data());
}

}  // namespace shadowserve
