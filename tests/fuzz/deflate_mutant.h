// One hostile Deflate stream through the lanes in company, its verdict held against the general decoder's.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "codec/coder_deflate.h"
#include "codec/deflate/deflate_streams.h"
#include "contract/check.h"
#include "contract/limits.h"

namespace shadowserve {

/// How many symbols zlib gets out of it, so that the stream can be asked for what it has.
inline size_t symbols_in(std::span<const std::byte> coded) {
  z_stream stream{};
  SS_CHECK(inflateInit2(&stream, -15) == Z_OK, "a test has memory");
  std::vector<std::byte> back(kFrameBytesMax);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return back.size() - stream.avail_out;
}

/// True when the lanes decoded it. Offered to all lanes alike, with the right size and with wrong ones.
/// Buffers are exactly as large as they must be: a sanitizer sees the byte beyond. Aborts when verdicts
/// differ.
inline bool decode_mutant(std::span<const std::byte> bytes) {
  static DeflateCoder& coder = *new DeflateCoder;
  const std::vector<std::byte> coded(bytes.begin(), bytes.end());
  const size_t symbol_count = symbols_in(coded);
  std::vector<std::vector<std::byte>> symbols;
  for (uint32_t i = 0; i < kStreamLanes; ++i) {
    symbols.emplace_back(i % 3 == 2   ? symbol_count + i
                         : i % 3 == 1 ? symbol_count - symbol_count / 8
                                      : symbol_count);
  }
  bool decoded = false;
  for (const StreamTarget target : {StreamTarget::kPortable, StreamTarget::kBest}) {
    const auto lanes = std::make_unique<DeflateStreams>(target);
    std::vector<DeflateStream> streams;
    for (auto& room : symbols) streams.push_back({coded, room});
    for (auto& stream : streams) lanes->start(stream);
    while (lanes->running() != 0) lanes->run(1 + coded.size());
    for (size_t i = 0; i < streams.size(); ++i) {
      if (streams[i].state != DeflateStream::State::kDecoded) continue;
      decoded = true;
      std::vector<std::byte> general(symbols[i].size());
      SS_CHECK(coder.decode(coded, general), "the general decoder takes it too");
      SS_CHECK(general == symbols[i], "both decode the same");
    }
  }
  return decoded;
}

}  // namespace shadowserve
