// The record store inside this process, on RocksDB: the default on one machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store/record_store.h"

namespace shadowserve {

struct RocksdbOptions {
  std::string path;
  uint64_t limit_bytes = 10'000'000'000;  ///< records held; the disk may hold up to about 1.3 times as much
  /// Oldest first, used or not. Otherwise records that were used since they were written get another turn.
  bool evict_fifo = false;
  uint32_t readers = 2;  ///< threads that serve gets; puts have one thread of their own
};

inline constexpr uint64_t kRocksdbLimitMin = 64'000'000;

/// Opens or creates the database and starts its threads. Blocks. kConfig when the folder is not one of ours,
/// is in use or is damaged, or the limit is below kRocksdbLimitMin; kSystem when the disk refuses.
///
/// Records survive kill -9 and restarts (not power loss: writes reach the page cache, not the disk, before
/// they complete). exists() never reads the disk. When puts outrun the disk's clean-up they end with
/// kStoreRefused.
Result<std::unique_ptr<StoreBackend>> open_rocksdb_store(const RocksdbOptions& options, std::string& message);

}  // namespace shadowserve
