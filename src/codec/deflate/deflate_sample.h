// Made-up symbols for tests, and Deflate streams of them by zlib's writer in its many ways.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <random>
#include <span>
#include <vector>

#include "contract/check.h"

namespace shadowserve {

/// `alphabet` different bytes at most; the larger `skew`, the rarer the rare ones.
inline std::vector<std::byte> skewed_bytes(size_t size, uint32_t alphabet, uint32_t skew,
                                           std::mt19937& random) {
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) {
    uint32_t value = random() % alphabet;
    for (uint32_t i = 0; i < skew; ++i) value = random() % (value + 1);
    b = static_cast<std::byte>(value * 37 + 11);  // 37 is odd: a permutation of the bytes
  }
  return bytes;
}

inline std::vector<std::byte> zlib_stream(std::span<const std::byte> symbols, int level, int strategy,
                                          int mem_level = 9) {
  z_stream stream{};
  SS_CHECK(deflateInit2(&stream, level, Z_DEFLATED, -15, mem_level, strategy) == Z_OK, "a test has memory");
  std::vector<std::byte> coded(2 * symbols.size() + 100);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(symbols.data()));
  stream.avail_in = static_cast<uInt>(symbols.size());
  stream.next_out = reinterpret_cast<Bytef*>(coded.data());
  stream.avail_out = static_cast<uInt>(coded.size());
  SS_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "there is room for any stream");
  coded.resize(coded.size() - stream.avail_out);
  deflateEnd(&stream);
  return coded;
}

/// True when zlib makes exactly `symbols` of exactly `coded`.
inline bool zlib_reads(std::span<const std::byte> coded, std::span<const std::byte> symbols) {
  z_stream stream{};
  SS_CHECK(inflateInit2(&stream, -15) == Z_OK, "a test has memory");
  std::vector<std::byte> back(symbols.size() + 1);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  const bool ended = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0;
  back.resize(back.size() - stream.avail_out);
  inflateEnd(&stream);
  return ended && std::equal(back.begin(), back.end(), symbols.begin(), symbols.end());
}

}  // namespace shadowserve
