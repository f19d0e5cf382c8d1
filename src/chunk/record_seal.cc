// Seals: XXH3-128 against damage, AES-256-GMAC against tampering; the seal field itself is read as zero.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <xxhash.h>

#include <cstddef>
#include <cstring>
#include <memory>

#include "chunk/record.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr size_t kSealBytes = 16;
constexpr size_t kNonceBytes = 12;
constexpr size_t kSealOffset = offsetof(RecordHeader, seal);
constexpr size_t kAfterSeal = kSealOffset + kSealBytes;
constexpr unsigned char kZeroSeal[kSealBytes] = {};
static_assert(kAfterSeal == sizeof(RecordHeader));

struct Tag {
  unsigned char bytes[kSealBytes];
};

const unsigned char* as_chars(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

struct HashStateDeleter {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

Tag xxh3_tag(std::span<const std::byte> record, const ChunkKey& seal) {
  uint64_t seed;
  std::memcpy(&seed, seal.data(), sizeof seed);
  thread_local const std::unique_ptr<XXH3_state_t, HashStateDeleter> owned(XXH3_createState());
  XXH3_state_t* const state = owned.get();
  SS_CHECK(state != nullptr, "hashing needs no more than a small state");
  XXH3_128bits_reset_withSeed(state, seed);
  XXH3_128bits_update(state, record.data(), kSealOffset);
  XXH3_128bits_update(state, kZeroSeal, kSealBytes);
  XXH3_128bits_update(state, record.data() + kAfterSeal, record.size() - kAfterSeal);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
  Tag tag;
  std::memcpy(tag.bytes, canonical.digest, kSealBytes);
  return tag;
}

struct CipherContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

/// This thread's context with the cipher already set: giving it a key and nonce allocates nothing.
EVP_CIPHER_CTX* gmac_context() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  thread_local const std::unique_ptr<EVP_CIPHER_CTX, CipherContextDeleter> context = [] {
    EVP_CIPHER_CTX* fresh = EVP_CIPHER_CTX_new();
    SS_CHECK(cipher != nullptr && fresh != nullptr &&
                 EVP_EncryptInit_ex2(fresh, cipher, nullptr, nullptr, nullptr) == 1,
             "libcrypto always has AES-256-GCM");
    return std::unique_ptr<EVP_CIPHER_CTX, CipherContextDeleter>(fresh);
  }();
  return context.get();
}

/// GMAC: the tag of AES-GCM over associated data and an empty text. Computed the same way to seal and to
/// check.
Tag gmac_tag(std::span<const std::byte> record, const unsigned char* nonce, const ChunkKey& seal) {
  EVP_CIPHER_CTX* const context = gmac_context();
  const auto* const key = reinterpret_cast<const unsigned char*>(seal.data());
  const auto rest = record.subspan(kAfterSeal);
  Tag tag;
  int size = 0;
  bool ok = EVP_EncryptInit_ex2(context, nullptr, key, nonce, nullptr) == 1;
  ok = ok && EVP_EncryptUpdate(context, nullptr, &size, as_chars(record), kSealOffset) == 1;
  ok = ok && EVP_EncryptUpdate(context, nullptr, &size, kZeroSeal, kSealBytes) == 1;
  ok = ok && (rest.empty() ||
              EVP_EncryptUpdate(context, nullptr, &size, as_chars(rest), static_cast<int>(rest.size())) == 1);
  unsigned char nothing[kSealBytes];
  ok = ok && EVP_EncryptFinal_ex(context, nothing, &size) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kSealBytes, tag.bytes) == 1;
  SS_CHECK(ok, "GMAC over at most 2 MiB cannot fail");
  return tag;
}

}  // namespace

SealKind seal_kind_of(const ChunkKey& seal) {
  return (seal.back() & std::byte{0x80}) == std::byte{0} ? SealKind::kXxh3 : SealKind::kGmac;
}

void prepare_seals_on_this_thread() {
  const std::byte record[sizeof(RecordHeader) + 1] = {};
  const unsigned char nonce[kNonceBytes] = {};
  xxh3_tag(record, ChunkKey{});
  gmac_tag(record, nonce, ChunkKey{});
}

void seal_record(std::span<std::byte> record, SealKind kind, const ChunkKey& seal) {
  SS_CHECK(record.size() >= sizeof(RecordHeader) && record.size() <= kRecordBytesMax, "a finished record");
  const auto put = [&](size_t offset, const void* from, size_t size) {
    std::memcpy(record.data() + offset, from, size);
  };
  const auto kind_byte = static_cast<uint8_t>(kind);
  unsigned char nonce[kNonceBytes] = {};
  if (kind == SealKind::kGmac) {
    // Straight from the kernel: a library generator may allocate when it reseeds. Random 96-bit nonces are
    // safe for 2^32 records a key.
    SS_CHECK(getrandom(nonce, sizeof nonce, 0) == static_cast<ssize_t>(sizeof nonce),
             "the kernel gives small random numbers whole");
  }
  put(offsetof(RecordHeader, seal_kind), &kind_byte, sizeof kind_byte);
  put(offsetof(RecordHeader, nonce), nonce, sizeof nonce);
  const Tag tag = kind == SealKind::kGmac ? gmac_tag(record, nonce, seal) : xxh3_tag(record, seal);
  put(kSealOffset, tag.bytes, kSealBytes);
}

bool seal_matches(std::span<const std::byte> bytes, const ChunkKey& seal) {
  SS_CHECK(bytes.size() >= sizeof(RecordHeader) && bytes.size() <= kRecordBytesMax, "a whole record");
  RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto kind = static_cast<SealKind>(header.seal_kind);
  if (kind != SealKind::kGmac && (kind != SealKind::kXxh3 || seal_kind_of(seal) == SealKind::kGmac)) {
    return false;
  }
  const Tag tag = kind == SealKind::kGmac ? gmac_tag(bytes, header.nonce, seal) : xxh3_tag(bytes, seal);
  return CRYPTO_memcmp(tag.bytes, header.seal, kSealBytes) == 0;
}

}  // namespace shadowserve
