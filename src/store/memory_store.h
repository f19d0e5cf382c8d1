// A record store in this process's memory: for tests and for trying things out (memory:?limit=1GB).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store/record_store.h"

namespace shadowserve {

inline constexpr uint64_t kMemoryLimitDefault = 1'000'000'000;

/// Reserves address space for `limit_bytes` (0 = the default); pages are taken as records come. When full the
/// least recently used records go. Nothing is allocated after that. Clients may live on different threads;
/// operations are carried out in poll(), oldest first.
Result<std::unique_ptr<StoreBackend>> open_memory_store(uint64_t limit_bytes, std::string& message);

}  // namespace shadowserve
