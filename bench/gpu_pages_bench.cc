// Rates of copies from slots straight into pages, which would need neither staging memory nor a kernel.
//
//   gpu_pages_bench [REPEATS]      each figure: median [least-most] of so many runs (default 9)
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <memory>
#include <numeric>
#include <thread>

#include "contract/check.h"
#include "figures.h"
#include "kernels/device_memory.h"
#include "memory/shared_region.h"
#include "page_copies.h"

using namespace shadowserve;

namespace {

constexpr size_t kPartBytes = 1 << 20;
constexpr size_t kParts = 512;
// The data plane's fetch slots by default: so many parts are under way at once.
constexpr size_t kInFlight = 16;
constexpr size_t kPagesBytes = size_t{512} << 20;

struct Run {
  double gb_per_s;
  double submit_us;  // a core's time for a part
};

// `cores` as the data plane has them, each with a stream of its own.
Run run_parts(std::span<std::byte> slots, std::span<std::byte> pages, size_t page_bytes, PageCall call,
              size_t cores) {
  std::vector<double> submitting(cores);
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<PageCopies>> of_core;
  for (size_t core = 0; core < cores; ++core)
    of_core.push_back(std::make_unique<PageCopies>(pages, kPartBytes, page_bytes, call));
  const auto start = std::chrono::steady_clock::now();
  for (size_t core = 0; core < cores; ++core) {
    threads.emplace_back([&, core] {
      PageCopies& copies = *of_core[core];
      size_t sent = 0, done = 0;
      while (done < kParts) {
        for (; sent < kParts && sent - done < kInFlight; ++sent) {
          const auto before = std::chrono::steady_clock::now();
          copies.submit(slots.data() + (sent + core * 7) * kPartBytes % slots.size());
          submitting[core] += seconds_since(before);
        }
        done += copies.poll();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto parts = static_cast<double>(kParts * cores);
  return {parts * kPartBytes / seconds_since(start) / 1e9,
          std::accumulate(submitting.begin(), submitting.end(), 0.0) / parts * 1e6};
}

void print_row(std::span<std::byte> slots, std::span<std::byte> pages, size_t page_bytes, size_t cores) {
  std::printf("| %zu KiB | %zu |", page_bytes >> 10, cores);
  for (const PageCall call : {PageCall::kPage, PageCall::kPart, PageCall::kPairs}) {
    if (call == PageCall::kPairs && !PageCopies::kHasPairs) {
      std::printf(" not before CUDA 13 | |");
      continue;
    }
    if (call == PageCall::kPairs && 2 * page_bytes > kPartBytes) {
      std::printf(" | |");
      continue;
    }
    double submit_us = 0;
    const Figure rate = figure_of([&] {
      const Run run = run_parts(slots, pages, page_bytes, call, cores);
      submit_us = run.submit_us;
      return run.gb_per_s;
    });
    std::printf(" %s | %.1f |", text(rate).c_str(), submit_us);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) bench_repeats = std::max(1, std::atoi(argv[1]));
  if (gpu_count() == 0) {
    std::printf("gpu_pages_bench: there is no GPU here, nothing to measure\n");
    return 0;
  }
  auto region = SharedRegion::create("gpu-pages-bench", kInFlight * kPartBytes);
  auto pages = DeviceMemory::allocate(0, kPagesBytes);
  SS_CHECK(region && pages, "slots and pages can be had");
  auto slots = RegisteredMemory::create(region->span());
  SS_CHECK(slots, "slots can be registered");
  std::printf(
      "Parts of 1 MiB from registered slots straight into pages, GB/s, median [least-most] of %d runs;\n"
      "pages of 1 MiB: a part in one copy; submit: a core's time for a part\n\n"
      "| page | cores | a call for a page | submit (us) | a call for a part | submit (us) "
      "| keys and values of a page in one copy | submit (us) |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
      bench_repeats);
  const std::span all(pages->data(), pages->size());
  for (size_t page_bytes :
       {size_t{8} << 10, size_t{16} << 10, size_t{32} << 10, size_t{64} << 10, size_t{128} << 10, kPartBytes})
    for (size_t cores : {1, 2, 4}) print_row(slots->span(), all, page_bytes, cores);
  return 0;
}
