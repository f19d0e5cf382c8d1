// Derives chunk keys: SHA-256 over length-framed fields behind a label that says what is being hashed.
#include "chunk/chunk_key.h"

#include <openssl/evp.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <memory>

#include "contract/check.h"

namespace shadowserve {
namespace {

static_assert(std::endian::native == std::endian::little, "token ids are hashed as they lie in memory");

constexpr std::string_view kRootLabel = "shadowserve/root/v1";
constexpr std::string_view kChunkLabel = "shadowserve/chunk/v1";
constexpr std::string_view kShardLabel = "shadowserve/shard/v1";
constexpr std::string_view kSealLabel = "shadowserve/seal/v1";

// The top bit of a seal key's last byte: set where the tenant has a salt (see seal_kind_of in record.h).
constexpr std::byte kSaltedBit{0x80};

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

const EVP_MD* sha256() {
  // Fetched once: EVP_sha256() would look the provider up again at every use.
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  SS_CHECK(algorithm != nullptr, "libcrypto always has SHA-256");
  return algorithm;
}

/// SHA-256 of fields, each preceded by its length so that no two field lists give the same bytes.
class FramedHash {
 public:
  explicit FramedHash(std::string_view label) {
    thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
    context_ = context.get();
    SS_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_, sha256(), nullptr) == 1,
             "hashing needs no more than a small context");
    add(label.data(), label.size());
  }
  void add(const void* data, size_t size) {
    const uint64_t length = size;
    update(&length, sizeof length);
    if (size > 0) update(data, size);
  }
  void add(std::string_view text) { add(text.data(), text.size()); }
  void add(uint32_t number) { add(&number, sizeof number); }
  ChunkKey finish() {
    ChunkKey key;
    unsigned size = 0;
    SS_CHECK(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(key.data()), &size) == 1 &&
                 size == key.size(),
             "SHA-256 gives 32 bytes");
    return key;
  }

 private:
  void update(const void* data, size_t size) {
    SS_CHECK(EVP_DigestUpdate(context_, data, size) == 1, "hashing memory cannot fail");
  }
  EVP_MD_CTX* context_;
};

ChunkKey hash_space(std::string_view label, const KeySpace& space) {
  FramedHash hash(label);
  hash.add(space.model_fingerprint);
  hash.add(space.profile);
  hash.add(space.tenant_salt);
  hash.add(space.shard);
  hash.add(space.shard_count);
  hash.add(space.geometry.layers);
  hash.add(space.geometry.kv_heads);
  hash.add(space.geometry.head_dim);
  hash.add(space.geometry.chunk_tokens);
  hash.add(uint32_t{space.geometry.element_number()});
  return hash.finish();
}

char hex_digit(unsigned value) { return "0123456789abcdef"[value & 15]; }

void write_hex(const ChunkKey& key, char* out) {
  for (const std::byte b : key) {
    *out++ = hex_digit(std::to_integer<unsigned>(b) >> 4);
    *out++ = hex_digit(std::to_integer<unsigned>(b));
  }
}

}  // namespace

ChunkKey root_key(const KeySpace& space) { return hash_space(kRootLabel, space); }

ChunkKey next_chunk_key(const ChunkKey& parent, std::span<const uint32_t> tokens,
                        std::span<const std::byte> extra) {
  FramedHash hash(kChunkLabel);
  hash.add(parent.data(), parent.size());
  hash.add(tokens.data(), tokens.size_bytes());
  hash.add(extra.data(), extra.size());
  return hash.finish();
}

ChunkKey shard_key(const ChunkKey& chunk, uint32_t shard) {
  FramedHash hash(kShardLabel);
  hash.add(chunk.data(), chunk.size());
  hash.add(shard);
  return hash.finish();
}

ChunkKey seal_key(const KeySpace& space) {
  ChunkKey key = hash_space(kSealLabel, space);
  key.back() = space.tenant_salt.empty() ? key.back() & ~kSaltedBit : key.back() | kSaltedBit;
  return key;
}

std::string to_hex(const ChunkKey& key) {
  std::string text(key.size() * 2, '0');
  write_hex(key, text.data());
  return text;
}

Result<ChunkKey> key_from_hex(std::string_view hex) {
  ChunkKey key;
  if (hex.size() != key.size() * 2) return fail(Error::kConfig);
  for (size_t i = 0; i < key.size(); ++i) {
    unsigned value = 0;
    const char* first = hex.data() + 2 * i;
    const auto [end, status] = std::from_chars(first, first + 2, value, 16);
    if (status != std::errc{} || end != first + 2) return fail(Error::kConfig);
    key[i] = static_cast<std::byte>(value);
  }
  return key;
}

StoreKey::StoreKey(const ChunkKey& key, uint32_t part) {
  std::memcpy(text_.data(), "ss1:", 4);
  write_hex(key, text_.data() + 4);
  text_[68] = ':';
  const auto [end, status] = std::to_chars(text_.data() + 69, text_.data() + text_.size(), part);
  SS_CHECK(status == std::errc{}, "ten digits fit");
  size_ = static_cast<size_t>(end - text_.data());
  for (size_t i = 0; i < sizeof(chunk_word_); ++i) {
    chunk_word_ = chunk_word_ << 8 | std::to_integer<uint64_t>(key[i]);
  }
}

}  // namespace shadowserve
