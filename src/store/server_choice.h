// Which of several servers holds a record: rendezvous hashing over the names of the servers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chunk/chunk_key.h"

namespace shadowserve {

/// The server with the greatest score for a chunk holds all parts of it (Thaler and Ravishankar, 1998). Part
/// 0 stands for the chunk where lookups ask (decision 4), so a server that is gone takes whole chunks along,
/// and no chunk is found whose other parts are missing. The order of the servers does not matter, and one
/// server more takes an equal share of the chunks from each of the others and moves none between them. Bytes:
/// docs/formats/placement.md.
///
/// Any thread; of() allocates nothing and takes some nanoseconds a server.
class ServerChoice {
 public:
  /// `names` are "host:port" as they are written in the store's address: data planes that share records write
  /// them alike.
  explicit ServerChoice(std::span<const std::string> names);
  /// Index into `names`.
  size_t of(const StoreKey& key) const;

 private:
  std::vector<uint64_t> seeds_;
};

}  // namespace shadowserve
