// Requests that somebody recorded, from a file of lines.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace shadowserve::fleet {

struct TraceRequest {
  int64_t arrival_ns = 0;
  uint32_t input_tokens = 0, output_tokens = 0;
  uint64_t conversation = 0;             ///< when there are no blocks
  uint32_t first_block = 0, blocks = 0;  ///< in Trace::block_ids
};

struct Trace {
  std::vector<TraceRequest> requests;  ///< in the order of their arrival
  std::vector<uint64_t> block_ids;     ///< equal ids mean equal text up to the block's end
};

/// Two shapes, told apart by the first line; docs/simulators/fleet.md has both:
///   {"timestamp": MS, "input_length": N, "output_length": N, "hash_ids": [ID, ...]}     one block of a fixed
///   size for each id arrival_s,conversation,input_tokens,output_tokens                                   and
///   lines of numbers below it
/// A sentence that names the line when one is malformed or arrivals go back in time.
tl::expected<Trace, std::string> read_trace(std::istream& in, uint32_t block_tokens);

}  // namespace shadowserve::fleet
