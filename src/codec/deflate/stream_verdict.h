// For tests: several streams through the lanes, each verdict held against the general decoder's.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "codec/coder_deflate.h"
#include "codec/deflate/deflate_streams.h"
#include "codec/fenced_buffer.h"

namespace shadowserve {

struct OfferedStream {
  std::vector<std::byte> coded;
  size_t symbol_count;
};

/// Everything at once, in buffers that fault at the first byte too far. Returns how many streams the lanes
/// decoded; `agreed` becomes false if the general decoder refuses one of those or decodes other bytes.
class StreamVerdict {
 public:
  explicit StreamVerdict(StreamTarget target) : streams_(std::make_unique<DeflateStreams>(target)) {}

  size_t decode(const std::vector<OfferedStream>& offered, size_t symbols_a_run, bool& agreed) {
    std::vector<std::unique_ptr<FencedBuffer>> ins, outs;
    std::vector<DeflateStream> streams;
    for (const OfferedStream& stream : offered) {
      ins.push_back(std::make_unique<FencedBuffer>(stream.coded.size()));
      outs.push_back(std::make_unique<FencedBuffer>(stream.symbol_count));
      std::copy(stream.coded.begin(), stream.coded.end(), ins.back()->span().begin());
      streams.push_back({ins.back()->span(), outs.back()->span()});
    }
    for (size_t next = 0; next < streams.size() || streams_->running() != 0;) {
      while (next < streams.size() && !streams_->full()) streams_->start(streams[next++]);
      if (streams_->running() != 0) streams_->run(symbols_a_run);
    }
    size_t decoded = 0;
    for (const DeflateStream& stream : streams) {
      if (stream.state != DeflateStream::State::kDecoded) continue;
      ++decoded;
      std::vector<std::byte> general(stream.symbols.size());
      agreed &= coder_.decode(stream.coded, general).has_value();
      agreed &= std::equal(general.begin(), general.end(), stream.symbols.begin());
    }
    return decoded;
  }

 private:
  std::unique_ptr<DeflateStreams> streams_;
  DeflateCoder coder_;
};

}  // namespace shadowserve
