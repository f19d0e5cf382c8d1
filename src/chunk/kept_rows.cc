// Nothing of a region is used before all of it was looked at.
#include "chunk/kept_rows.h"

#include <cstring>

#include "chunk/bits16.h"
#include "chunk/record.h"

namespace shadowserve {
namespace {

bool tokens_ascend(const uint8_t* tokens, size_t count, uint32_t end) {
  uint32_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t token = load16(tokens, i);
    if (token < next || token >= end) return false;
    next = token + 1;
  }
  return true;
}

bool patches_ascend(const uint8_t* patches, size_t count, uint32_t tokens, uint32_t channels) {
  uint64_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t token = load16(patches, 3 * i), channel = load16(patches, 3 * i + 1);
    const uint64_t place = uint64_t{token} * channels + channel;
    if (token >= tokens || channel >= channels || place < next) return false;
    next = place + 1;
  }
  return true;
}

}  // namespace

size_t KeptRows::bytes(const KeptRowsHead& head, const KvGeometry& geometry) {
  const size_t channels = geometry.channels();
  return sizeof head + head.exact_rows * (2 + 2 * channels) +
         head.int8_rows * (2 + 2 * size_t{geometry.kv_heads} + channels) + head.patches * sizeof(Patch);
}

KeptRows KeptRows::at(const uint8_t* region, const KeptRowsHead& head, const KvGeometry& geometry) {
  const size_t channels = geometry.channels();
  KeptRows rows;
  rows.head = head;
  rows.exact_tokens = region + sizeof head;
  rows.int8_tokens = rows.exact_tokens + 2 * head.exact_rows;
  rows.exact_elements = rows.int8_tokens + 2 * head.int8_rows;
  rows.int8_scales = rows.exact_elements + head.exact_rows * 2 * channels;
  rows.patches = rows.int8_scales + head.int8_rows * 2 * size_t{geometry.kv_heads};
  rows.int8_symbols = rows.patches + head.patches * sizeof(Patch);
  return rows;
}

bool KeptRows::parse(std::span<const std::byte> region, const KvGeometry& geometry, uint32_t tokens,
                     KeptRows& rows) {
  KeptRowsHead head;
  if (region.size() < sizeof head) return false;
  std::memcpy(&head, region.data(), sizeof head);
  if (head.exact_rows > tokens || head.int8_rows > tokens || head.patches > region.size() / sizeof(Patch) ||
      bytes(head, geometry) != region.size()) {
    return false;
  }
  rows = at(reinterpret_cast<const uint8_t*>(region.data()), head, geometry);
  if (!tokens_ascend(rows.exact_tokens, head.exact_rows, tokens) ||
      !tokens_ascend(rows.int8_tokens, head.int8_rows, tokens) ||
      !patches_ascend(rows.patches, head.patches, tokens, geometry.channels())) {
    return false;
  }
  bool sane = true;
  for (size_t i = 0; i < size_t{head.int8_rows} * geometry.kv_heads; ++i) {
    sane &= load16(rows.int8_scales, i) < kScaleBitsEnd;
  }
  return sane;
}

}  // namespace shadowserve
