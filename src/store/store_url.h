// The store's address as users write it: schemes, parameters, byte sizes, and errors that suggest the right
// name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

/// One of the servers in an address.
struct StoreServer {
  std::string host;
  uint16_t port = 6379;
  /// What placement and people go by, see host_and_port().
  std::string name() const;
};

/// A parsed store address. Fields that the scheme does not have keep their defaults.
struct StoreUrl {
  enum class Scheme : uint8_t { kMemory, kRocksdb, kRedis };
  Scheme scheme = Scheme::kMemory;
  std::string path;  ///< rocksdb: the folder
  std::string user, password;
  std::vector<StoreServer> servers;  ///< redis: one or more, all different
  uint32_t database = 0;
  uint64_t limit_bytes = 0;  ///< 0 = not given
  bool evict_fifo = false;
  uint64_t rate_bits_per_s = 0;  ///< redis: 0 = no limit
};

/// kConfig with a sentence in `message` when the address is wrong. Does no I/O.
Result<StoreUrl> parse_store_url(std::string_view url, std::string& message);

/// "4096", "512MB" (powers of 1000), "512MiB" (powers of 1024), case ignored. kConfig otherwise or when zero.
Result<uint64_t> parse_byte_size(std::string_view text);
/// "10gbit", "2.5gbit", "200mbit", case ignored: bits a second. kConfig otherwise, or outside of 1mbit to
/// 10000gbit.
Result<uint64_t> parse_bit_rate(std::string_view text);
/// The way back, as short as it can be.
std::string format_bit_rate(uint64_t bits_per_s);
/// "10.7 GB": for people.
std::string format_byte_size(uint64_t bytes);

/// The candidate that most looks like `name`, or empty when none looks like it.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace shadowserve
