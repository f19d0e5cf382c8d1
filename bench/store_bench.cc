// Prints how fast a store gives and takes records, next to memcpy: store_bench URL [seconds a measurement].
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "store/record_store.h"

namespace shadowserve {
namespace {

constexpr uint64_t kRecords = 64;
constexpr uint32_t kInFlight = 8;

StoreKey key_of(uint64_t number, size_t bytes) {
  ChunkKey key{};
  std::memcpy(key.data(), &number, sizeof(number));
  return StoreKey(key, static_cast<uint32_t>(bytes));
}

struct Rate {
  double gb_s = 0, p50_us = 0, p99_us = 0;
  uint64_t failed = 0;
};

enum class Work { kGet, kPut };

/// Keeps kInFlight operations in flight for `seconds`, sleeping in between, and reports bytes a second and
/// latencies.
Rate measure(RecordStore& store, const Clock& clock, Work work, size_t bytes, double seconds) {
  std::vector<std::vector<std::byte>> slots(kInFlight, std::vector<std::byte>(bytes, std::byte{0x5a}));
  std::vector<uint64_t> started(kInFlight), latencies;
  latencies.reserve(1 << 20);
  uint64_t next = 0, moved = 0, failed = 0;
  const auto start = [&](uint64_t slot) {
    started[slot] = clock.now_ns();
    const StoreKey key = key_of(next++ % kRecords, bytes);
    const uint64_t deadline_ns = started[slot] + 10'000'000'000u;
    const bool accepted = work == Work::kGet ? store.get(slot, key, slots[slot], deadline_ns).has_value()
                                             : store.put(slot, key, slots[slot], deadline_ns).has_value();
    if (!accepted) std::abort();
  };
  const uint64_t begin_ns = clock.now_ns();
  const auto end_ns = begin_ns + static_cast<uint64_t>(seconds * 1e9);
  for (uint64_t slot = 0; slot < kInFlight; ++slot) start(slot);
  StoreDone done[kInFlight];
  while (store.in_flight() > 0) {
    const size_t count = store.poll(done);
    if (count == 0) {
      pollfd entry{.fd = store.wake_fd(), .events = POLLIN, .revents = 0};
      ::poll(&entry, 1, 100);
      continue;
    }
    const uint64_t now_ns = clock.now_ns();
    for (size_t i = 0; i < count; ++i) {
      latencies.push_back(now_ns - started[done[i].ticket]);
      moved += done[i].bytes;
      failed += done[i].error != Error::kNone ? 1 : 0;
      if (now_ns < end_ns) start(done[i].ticket);
    }
  }
  const double wall = static_cast<double>(clock.now_ns() - begin_ns) * 1e-9;
  std::sort(latencies.begin(), latencies.end());
  const auto at = [&](size_t percent) {
    return static_cast<double>(latencies[latencies.size() * percent / 100]) * 1e-3;
  };
  const double gigabytes = static_cast<double>(moved) * 1e-9;
  return {gigabytes / wall, at(50), at(99), failed};
}

double memcpy_gb_s(size_t bytes) {
  std::vector<std::byte> from(256u << 20, std::byte{1}), into(256u << 20, std::byte{2});
  const MonotonicClock clock;
  const uint64_t begin_ns = clock.now_ns();
  for (size_t done = 0; done + bytes <= from.size(); done += bytes) {
    std::memcpy(into.data() + done, from.data() + done, bytes);
  }
  return static_cast<double>(from.size()) / static_cast<double>(clock.now_ns() - begin_ns);
}

int run(const char* url, double seconds) {
  std::string message;
  auto backend = open_store(url, message);
  if (!backend) {
    std::fprintf(stderr, "%s\n", message.c_str());
    return 1;
  }
  const MonotonicClock clock;
  auto store = std::move(*(*backend)->client(clock, kInFlight));
  std::printf("%s, %u in flight, one client thread\n", (*backend)->describe().c_str(), kInFlight);
  for (const size_t bytes : {size_t{200} << 10, size_t{2} << 20}) {
    for (const Work work : {Work::kPut, Work::kGet}) {
      const Rate rate = measure(*store, clock, work, bytes, seconds);
      std::printf("%s %4zu KiB: %5.2f GB/s, p50 %6.0f us, p99 %6.0f us, %llu failed\n",
                  work == Work::kPut ? "PUT" : "GET", bytes >> 10, rate.gb_s, rate.p50_us, rate.p99_us,
                  static_cast<unsigned long long>(rate.failed));
    }
    std::printf("memcpy %4zu KiB: %5.2f GB/s\n", bytes >> 10, memcpy_gb_s(bytes));
  }
  return 0;
}

}  // namespace
}  // namespace shadowserve

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: store_bench URL [seconds], for example store_bench redis://127.0.0.1:6379\n");
    return 2;
  }
  return shadowserve::run(argv[1], argc > 2 ? std::atof(argv[2]) : 2.0);
}
