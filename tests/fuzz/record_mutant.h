// What the fuzzer and its replay do with one input: describe it, seal it anew, open it and decode it.
#pragma once

#include <algorithm>
#include <vector>

#include "codec/codec.h"

namespace shadowserve {

/// Returns true when the bytes decoded to values. The seal is recomputed so that mutations reach what lies
/// behind.
inline bool open_mutant(std::span<const std::byte> input) {
  std::vector<std::byte> record(input.begin(), input.end());
  RecordView view;
  if (!describe_record(record, view)) return false;
  const PartShape shape = view.shape();
  ChunkKey key;
  std::copy_n(reinterpret_cast<const std::byte*>(view.header().chunk_key), key.size(), key.begin());
  seal_record(record, SealKind::kXxh3, ChunkKey{});
  std::vector<std::byte> values(shape.value_bytes());  // exactly: a sanitizer sees any byte beyond
  return decode_part(record, shape, key, ChunkKey{}, values).has_value();
}

}  // namespace shadowserve
