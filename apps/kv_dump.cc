// Reads KV dumps, and says what is wrong with a file that does not have the shape it was given.
#include "kv_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "command.h"

namespace shadowserve {
namespace {

constexpr uint64_t kDumpBytesMax = uint64_t{64} << 30;  // far beyond any use; keeps products of a typo small

std::vector<uint32_t> numbers_between_x(const std::string& text) {
  std::vector<uint32_t> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    uint32_t number = 0;
    const auto [next, code] = std::from_chars(at, end, number);
    if (code != std::errc() || number == 0) return {};
    numbers.push_back(number);
    if (next == end) return numbers;
    if (*next != 'x') return {};
    at = next + 1;
  }
}

/// What the file's size would fit, so that a wrong number is found at a glance.
std::string fitting_shape(uint64_t bytes, const KvShape& shape) {
  const uint64_t token_bytes = uint64_t{shape.geometry.planes()} * shape.geometry.channels() * kElementBytes;
  if (bytes == 2 * shape.bytes()) {
    return "it is exactly twice as long: either it has 32-bit elements (write 16-bit ones), or twice the "
           "tokens";
  }
  if (bytes >= token_bytes && bytes % token_bytes == 0) {
    return fmt::format(
        "with the same layers and channels it would hold {} tokens: give that number in --shape",
        bytes / token_bytes);
  }
  return "check layers, tokens and channels in --shape";
}

/// Copies token rows between a dump and its chunks; `copy` gets (place in the dump, place in the chunks,
/// bytes).
template <typename Copy>
void walk_chunks(const KvShape& shape, Copy copy) {
  const KvGeometry& geometry = shape.geometry;
  const size_t row_bytes = size_t{geometry.channels()} * kElementBytes;
  for (uint32_t chunk = 0; chunk < shape.chunks(); ++chunk) {
    const uint32_t first = chunk * geometry.chunk_tokens;
    const uint32_t tokens = std::min(geometry.chunk_tokens, shape.tokens - first);
    for (uint32_t plane = 0; plane < geometry.planes(); ++plane) {
      const size_t in_dump = (size_t{plane} * shape.tokens + first) * row_bytes;
      const size_t in_chunks = chunk * geometry.chunk_bytes() + plane * geometry.plane_bytes();
      copy(in_dump, in_chunks, tokens * row_bytes);
    }
  }
}

}  // namespace

KvShape parse_kv_shape(const std::string& shape, const std::string& dtype, uint32_t chunk_tokens) {
  const std::vector<uint32_t> numbers = numbers_between_x(shape);
  if ((numbers.size() != 4 && numbers.size() != 5) || numbers[1] != 2) {
    throw StartError(
        fmt::format("--shape {} is not LAYERSx2xTOKENSxCHANNELS or LAYERSx2xTOKENSxHEADSxDIM, for example "
                    "18x2x2048x256 or 32x2x2048x8x128 (the 2 stands for K and V)",
                    shape));
  }
  const bool with_heads = numbers.size() == 5;
  KvShape parsed;
  parsed.tokens = numbers[2];
  parsed.geometry = {.layers = numbers[0],
                     .kv_heads = with_heads ? numbers[3] : 1,
                     .head_dim = with_heads ? numbers[4] : numbers[3],
                     .chunk_tokens = chunk_tokens,
                     .element = dtype == "bf16" ? ElementType::kBf16 : ElementType::kFp16};
  if (!with_heads && numbers[3] > kHeadDimMax) {
    throw StartError(
        fmt::format("--shape {} has one head of {} channels, {} at most: say how many heads there are, "
                    "LAYERSx2xTOKENSxHEADSxDIM",
                    shape, numbers[3], kHeadDimMax));
  }
  if (!parsed.geometry.validate() || parsed.tokens > kDumpBytesMax / (parsed.bytes() / parsed.tokens)) {
    throw StartError(fmt::format(
        "--shape {} with chunks of {} tokens is beyond what a record can hold: try fewer --chunk-tokens",
        shape, chunk_tokens));
  }
  return parsed;
}

std::vector<std::byte> read_kv_dump(const std::string& path, const KvShape& shape) {
  std::error_code failed;
  const uint64_t bytes = std::filesystem::file_size(path, failed);
  std::ifstream in(path, std::ios::binary);
  if (failed || !in) throw StartError(fmt::format("cannot read {}: is it a file that you may read?", path));
  if (bytes != shape.bytes()) {
    const KvGeometry& geometry = shape.geometry;
    throw StartError(
        fmt::format("{} has {} bytes, but {} layers x K and V x {} tokens x {} channels x 2 bytes are "
                    "{}; {}",
                    path, bytes, geometry.layers, shape.tokens, geometry.channels(), shape.bytes(),
                    fitting_shape(bytes, shape)));
  }
  std::vector<std::byte> dump(bytes);
  if (!in.read(reinterpret_cast<char*>(dump.data()), static_cast<std::streamsize>(bytes))) {
    throw StartError(fmt::format("cannot read {} to its end", path));
  }
  return dump;
}

std::vector<std::byte> cut_into_chunks(std::span<const std::byte> dump, const KvShape& shape) {
  const size_t row_bytes = size_t{shape.geometry.channels()} * kElementBytes;
  std::vector<std::byte> chunks(shape.chunks() * shape.geometry.chunk_bytes());
  walk_chunks(shape, [&](size_t in_dump, size_t in_chunks, size_t bytes) {
    std::memcpy(chunks.data() + in_chunks, dump.data() + in_dump, bytes);
    const std::byte* const last_row = dump.data() + in_dump + bytes - row_bytes;
    for (size_t at = bytes; at < shape.geometry.plane_bytes(); at += row_bytes) {
      std::memcpy(chunks.data() + in_chunks + at, last_row, row_bytes);
    }
  });
  return chunks;
}

std::vector<std::byte> join_chunks(std::span<const std::byte> chunks, const KvShape& shape) {
  std::vector<std::byte> dump(shape.bytes());
  walk_chunks(shape, [&](size_t in_dump, size_t in_chunks, size_t bytes) {
    std::memcpy(dump.data() + in_dump, chunks.data() + in_chunks, bytes);
  });
  return dump;
}

}  // namespace shadowserve
