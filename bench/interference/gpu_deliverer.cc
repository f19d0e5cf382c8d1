// The data plane's side of the interference bench: a process that DMAs slots into another process's GPU
// memory at a chosen rate, with the copy engine that the plane uses.
//
//   gpu_deliverer [--slot-bytes N] [--page-bytes N]
//
// A handle of staging memory in hexadecimal on the first line of stdin; then a line each: GB/s (0: as fast as
// it goes) starts, "stop" ends and is answered "BYTES SECONDS". With --page-bytes what is told as staging
// memory is taken for pages: slots go there in pieces, anywhere.
#include <fmt/core.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "contract/check.h"
#include "interference/paced.h"
#include "kernels/cuda_copy_engine.h"
#include "kernels/device_memory.h"
#include "memory/shared_region.h"
#include "page_copies.h"

using namespace shadowserve;

namespace {

constexpr size_t kSlots = 16;

struct Sizes {
  size_t slot = 2 << 20;  // the plane's parts are of 1 to 4 MiB
  size_t page = 0;
};

Sizes sizes_from(int argc, char** argv) {
  Sizes sizes;
  for (int i = 1; i + 1 < argc; i += 2)
    (std::string_view(argv[i]) == "--page-bytes" ? sizes.page : sizes.slot) = std::stoul(argv[i + 1]);
  return sizes;
}

DeviceMemoryHandle handle_from(const std::string& hex) {
  DeviceMemoryHandle handle;
  SS_CHECK(hex.size() == 2 * sizeof handle, "a handle of staging memory comes first");
  auto* const bytes = reinterpret_cast<unsigned char*>(&handle);
  for (size_t i = 0; i < sizeof handle; ++i)
    bytes[i] = static_cast<unsigned char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return handle;
}

class Deliverer {
 public:
  Deliverer(const DeviceMemoryHandle& handle, Sizes sizes) : slot_bytes_(sizes.slot) {
    auto region = SharedRegion::create("gpu-deliverer", kSlots * slot_bytes_);
    SS_CHECK(region, "slots can be had");
    region_ = std::move(*region);
    auto staging = DeviceMemory::open(handle);
    SS_CHECK(staging, "the engine's staging memory can be opened");
    staging_ = std::move(*staging);
    auto slots = RegisteredMemory::create(region_.span());
    SS_CHECK(slots, "slots can be registered");
    slots_ = std::move(*slots);
    auto engine = CudaCopyEngine::create(0, slots_);
    SS_CHECK(engine, "a copy engine can be made");
    engine_ = std::move(*engine);
    if (sizes.page > 0)
      pages_.emplace(std::span(staging_.data(), staging_.size()), slot_bytes_, sizes.page, PageCall::kPart);
  }

  /// Starts the next slot's copy if it is due; bytes that have arrived.
  uint64_t step(bool due) {
    if (due && under_way_ < kSlots) {
      std::byte* const from = slots_.span().data() + next_ % kSlots * slot_bytes_;
      if (pages_) {
        pages_->submit(from);
      } else {
        std::byte* const to = staging_.data() + next_ * slot_bytes_ % (staging_.size() - slot_bytes_ + 1);
        SS_CHECK(engine_->submit({to, from, slot_bytes_, next_}),
                 "there are fewer slots than the engine's depth");
      }
      ++next_, ++under_way_;
    }
    CopyDone done[kSlots];
    const size_t ended = pages_ ? pages_->poll() : engine_->poll(done);
    under_way_ -= ended;
    return ended * slot_bytes_;
  }

 private:
  const size_t slot_bytes_;
  SharedRegion region_;
  DeviceMemory staging_;
  RegisteredMemory slots_;
  std::unique_ptr<CudaCopyEngine> engine_;
  std::optional<PageCopies> pages_;
  size_t next_ = 0, under_way_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::string line;
  std::getline(std::cin, line);
  Deliverer deliverer(handle_from(line), sizes_from(argc, argv));
  fmt::print("ready\n");
  std::fflush(stdout);
  std::optional<Paced> paced;
  std::chrono::steady_clock::time_point start;
  while (std::getline(std::cin, line)) {
    if (line != "stop") {
      start = std::chrono::steady_clock::now();
      paced.emplace(std::stod(line) * 1e9, [&](bool due) { return deliverer.step(due); });
      continue;
    }
    paced->stop();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fmt::print("{} {}\n", paced->bytes(), seconds);
    std::fflush(stdout);
  }
  return 0;
}
