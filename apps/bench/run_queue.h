// How long threads of this process were kept from their cores by others.
#pragma once

#include <cstdint>
#include <string_view>

namespace shadowserve {

/// Nanoseconds that all threads whose names begin like this have waited, ready to run, since they began; 0
/// where the kernel does not count. What a hypervisor takes from the whole machine is not in it.
uint64_t waited_for_core_ns(std::string_view thread_name);

}  // namespace shadowserve
