// The C API: turns C arguments into the control plane's types, and nothing else.
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "chunk/chunk_key.h"
#include "chunk/kv_geometry.h"
#include "contract/check.h"
#include "control/client_options.h"
#include "control/lookup.h"
#include "control/model_fingerprint.h"
#include "control/placement.h"
#include "control/transfer.h"
#include "shadowserve/shadowserve.h"
#include "world/clock.h"

struct ss_lookup {
  shadowserve::MonotonicClock clock;
  shadowserve::Lookup lookup;
  explicit ss_lookup(shadowserve::ClientOptions options) : lookup(std::move(options), clock) {}
};

struct ss_transfer {
  shadowserve::MonotonicClock clock;
  shadowserve::Transfer transfer;
  explicit ss_transfer(shadowserve::ClientOptions options) : transfer(std::move(options), clock) {}
};

namespace {

using shadowserve::ChunkKey;
using shadowserve::Error;

void tell(const std::string& sentence, char* message, size_t message_bytes) {
  if (message == nullptr || message_bytes == 0) return;
  const size_t length = std::min(sentence.size(), message_bytes - 1);
  std::memcpy(message, sentence.data(), length);
  message[length] = '\0';
}

template <typename Object>
Object* open(const ss_options* options, shadowserve::ClientRole role, char* message, size_t message_bytes) {
  std::string sentence = "options is NULL: pass a filled ss_options";
  if (options != nullptr) {
    auto checked = shadowserve::read_options(*options, role, sentence);
    if (checked) return new Object(std::move(*checked));
  }
  tell(sentence, message, message_bytes);
  return nullptr;
}

ss_error code(Error error) { return static_cast<ss_error>(error); }
ss_error code(const shadowserve::Result<void>& result) { return result ? 0 : code(result.error()); }

Error error_from(ss_error error) {
  return error >= 0 && error < shadowserve::kErrorCount ? static_cast<Error>(error) : Error::kPlaneDown;
}

ChunkKey key_at(const uint8_t* key) {
  ChunkKey copy;
  static_assert(sizeof copy == SS_KEY_BYTES);
  std::memcpy(copy.data(), key, sizeof copy);
  return copy;
}

// Keys are arrays of bytes on both sides, so a list of them needs no copy.
std::span<const ChunkKey> keys_at(const uint8_t* keys, size_t count) {
  static_assert(alignof(ChunkKey) == 1);
  return {reinterpret_cast<const ChunkKey*>(keys), count};
}

shadowserve::Result<shadowserve::PageShape> page_shape(const ss_page_shape* given) {
  if (given == nullptr) return shadowserve::fail(Error::kConfig);
  const auto element = static_cast<shadowserve::ElementType>(given->element == 0 ? 1 : given->element);
  if (given->element > static_cast<uint32_t>(shadowserve::ElementType::kFp8E5M2))
    return shadowserve::fail(Error::kConfig);
  const shadowserve::PageShape shape{static_cast<shadowserve::PageLayout>(given->layout),
                                     given->page_tokens,
                                     given->kv_heads,
                                     given->head_dim,
                                     given->head_stride_bytes,
                                     static_cast<uint32_t>(shadowserve::element_bytes(element)),
                                     given->planes_per_layer == 0 ? 2 : given->planes_per_layer};
  std::string sentence;
  if (const auto valid = shape.validate(sentence); !valid) return shadowserve::fail(valid.error());
  return shape;
}

}  // namespace

const char* ss_error_name(ss_error error) {
  return shadowserve::error_name(static_cast<Error>(error)).data();
}
const char* ss_error_sentence(ss_error error) {
  return shadowserve::error_sentence(static_cast<Error>(error)).data();
}
const char* ss_version(void) { return SHADOWSERVE_VERSION; }

ss_error ss_model_fingerprint(const char* directory, const char* extra, char out[65], char weights[65]) {
  if (directory == nullptr || out == nullptr) return code(Error::kConfig);
  const auto both = shadowserve::model_fingerprints(directory, extra == nullptr ? "" : extra);
  if (!both) return code(both.error());
  SS_CHECK(both->model.size() == 64 && both->weights.size() == 64, "a SHA-256 has 64 digits");
  std::memcpy(out, both->model.c_str(), 65);
  if (weights != nullptr) std::memcpy(weights, both->weights.c_str(), 65);
  return 0;
}

ss_lookup* ss_lookup_open(const ss_options* options, char* message, size_t message_bytes) {
  return open<ss_lookup>(options, shadowserve::ClientRole::kLookup, message, message_bytes);
}
void ss_lookup_close(ss_lookup* lookup) { delete lookup; }

size_t ss_chain(ss_lookup* lookup, const uint8_t* parent, const uint32_t* tokens, size_t token_count,
                const void* extra, size_t extra_bytes, uint8_t* keys, size_t key_capacity) {
  if (keys == nullptr) return lookup->lookup.chunks_in(token_count);
  const ChunkKey before = parent != nullptr ? key_at(parent) : ChunkKey{};
  return lookup->lookup.chain(parent != nullptr ? &before : nullptr, {tokens, token_count},
                              {static_cast<const std::byte*>(extra), extra_bytes},
                              {reinterpret_cast<ChunkKey*>(keys), key_capacity});
}

void ss_lookup_start(ss_lookup* lookup, uint64_t id, const uint8_t* keys, size_t count) {
  lookup->lookup.start(id, keys_at(keys, count));
}
int64_t ss_lookup_poll(ss_lookup* lookup, uint64_t id) { return lookup->lookup.poll(id); }
void ss_lookup_forget(ss_lookup* lookup, uint64_t id) { lookup->lookup.forget(id); }

void ss_lookup_fetch_ended(ss_lookup* lookup, ss_error error, const uint8_t* key) {
  const ChunkKey failed = key != nullptr ? key_at(key) : ChunkKey{};
  lookup->lookup.fetch_ended(error_from(error), key != nullptr ? &failed : nullptr);
}
int ss_lookup_claim_save(ss_lookup* lookup, const uint8_t* key) {
  return lookup->lookup.claim_save(key_at(key)) ? 1 : 0;
}
const char* ss_lookup_profile(const ss_lookup* lookup) {
  return lookup->lookup.options().space.profile.c_str();
}
void ss_lookup_read_stats(const ss_lookup* lookup, ss_lookup_stats* out) { lookup->lookup.read_stats(*out); }

ss_transfer* ss_transfer_open(const ss_options* options, char* message, size_t message_bytes) {
  return open<ss_transfer>(options, shadowserve::ClientRole::kTransfer, message, message_bytes);
}
void ss_transfer_close(ss_transfer* transfer) { delete transfer; }

const char* ss_transfer_profile(const ss_transfer* transfer) {
  return transfer->transfer.options().space.profile.c_str();
}
const char* ss_transfer_profile_reason(const ss_transfer* transfer) {
  return transfer->transfer.options().profile_reason.c_str();
}

ss_error ss_transfer_register_pages(ss_transfer* transfer, const ss_pages* pages, char* message,
                                    size_t message_bytes) {
  std::string sentence = "pages is NULL: pass a filled ss_pages";
  if (pages != nullptr) {
    const auto registered = transfer->transfer.register_pages(*pages, sentence);
    if (registered) return 0;
    tell(sentence, message, message_bytes);
    return code(registered.error());
  }
  tell(sentence, message, message_bytes);
  return code(Error::kConfig);
}

ss_error ss_transfer_fence(ss_transfer* transfer, void* cuda_stream) {
  return code(transfer->transfer.fence(cuda_stream));
}

ss_error ss_fetch(ss_transfer* transfer, uint64_t id, const uint8_t* keys, uint32_t first_chunk,
                  uint32_t count, uint32_t first_token, const int32_t* page_ids, size_t page_count) {
  return code(transfer->transfer.fetch({id, keys, first_chunk, count, first_token, {page_ids, page_count}}));
}
ss_error ss_save(ss_transfer* transfer, uint64_t id, const uint8_t* keys, uint32_t first_chunk,
                 uint32_t count, const int32_t* page_ids, size_t page_count) {
  return code(transfer->transfer.save({id, keys, first_chunk, count, 0, {page_ids, page_count}}));
}
void ss_cancel(ss_transfer* transfer, uint64_t id) { transfer->transfer.cancel(id); }
size_t ss_transfer_poll(ss_transfer* transfer, ss_event* events, size_t capacity) {
  return transfer->transfer.poll({events, capacity});
}
void ss_transfer_read_stats(const ss_transfer* transfer, ss_transfer_stats* out) {
  transfer->transfer.read_stats(*out);
}

ss_error ss_page_bytes(const ss_page_shape* shape, uint64_t* values_bytes, uint64_t* page_bytes) {
  const auto checked = page_shape(shape);
  if (!checked) return code(checked.error());
  *values_bytes = uint64_t{checked->planes} * checked->page_tokens * checked->row_bytes();
  *page_bytes = checked->span_bytes();
  return 0;
}

ss_error ss_place_page(const ss_page_shape* shape, const void* values, void* page) {
  const auto checked = page_shape(shape);
  if (!checked) return code(checked.error());
  const auto* rows = static_cast<const std::byte*>(values);
  for (uint32_t plane = 0; plane < checked->planes; ++plane) {
    place_plane(*checked, static_cast<shadowserve::PlaneKind>(plane),
                rows + plane * checked->page_tokens * checked->row_bytes(), static_cast<std::byte*>(page));
  }
  return 0;
}

ss_error ss_gather_page(const ss_page_shape* shape, const void* page, void* values) {
  const auto checked = page_shape(shape);
  if (!checked) return code(checked.error());
  auto* rows = static_cast<std::byte*>(values);
  for (uint32_t plane = 0; plane < checked->planes; ++plane) {
    gather_plane(*checked, static_cast<shadowserve::PlaneKind>(plane), static_cast<const std::byte*>(page),
                 rows + plane * checked->page_tokens * checked->row_bytes());
  }
  return 0;
}
