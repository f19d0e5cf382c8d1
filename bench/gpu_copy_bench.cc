// Rates of the CUDA copy engine into another process's memory and of the paged kernels, beside plain
// cudaMemcpy.
//
//   gpu_copy_bench [REPEATS]      each figure: median [least-most] of so many runs (default 9)
#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "contract/check.h"
#include "figures.h"
#include "kernels/cuda_copy_engine.h"
#include "kernels/paged_move.h"
#include "kernels/paged_trial.h"
#include "memory/shared_region.h"

using namespace shadowserve;

namespace {

constexpr uint64_t kStagingBytes = uint64_t{256} << 20;
// The data plane's fetch slots by default: so many copies are under way at once.
constexpr size_t kInFlight = 16;

void check(cudaError_t error) { SS_CHECK(error == cudaSuccess, cudaGetErrorString(error)); }

// Another process that owns the staging memory, as the engine does. It ends with this one's end of the pipe.
DeviceMemoryHandle staging_of_another_process() {
  int out[2], stay[2];
  SS_CHECK(pipe(out) == 0 && pipe(stay) == 0, "pipes can be made");
  const pid_t process = fork();
  SS_CHECK(process >= 0, "a process can be made");
  DeviceMemoryHandle handle;
  if (process == 0) {
    close(stay[1]);
    auto memory = DeviceMemory::allocate(0, kStagingBytes);
    if (memory) {
      if (auto exported = memory->handle()) handle = *exported;
    }
    char byte;
    if (write(out[1], &handle, sizeof(handle)) == sizeof(handle)) (void)!read(stay[0], &byte, 1);
    _exit(0);
  }
  SS_CHECK(read(out[0], &handle, sizeof(handle)) == sizeof(handle), "the owner answers");
  return handle;
}

struct EngineRun {
  double gb_per_s;
  double submit_us;  // this core's time in submit(), a copy
};

EngineRun run_engine(CudaCopyEngine& engine, std::span<std::byte> slots, std::byte* device, size_t bytes,
                     bool deliver) {
  const size_t count = kStagingBytes / bytes / (bytes < (1 << 20) ? 4 : 1);
  size_t sent = 0, done = 0;
  double submitting = 0;
  const auto start = std::chrono::steady_clock::now();
  while (done < count) {
    while (sent < count && sent - done < kInFlight) {
      std::byte* host = slots.data() + sent * bytes % slots.size();
      std::byte* there = device + sent * bytes;
      const auto before = std::chrono::steady_clock::now();
      const bool taken =
          engine.submit(deliver ? CopyTask{there, host, bytes, sent} : CopyTask{host, there, bytes, sent})
              .has_value();
      submitting += seconds_since(before);
      SS_CHECK(taken, "no more than kInFlight");
      ++sent;
    }
    CopyDone some[kInFlight];
    const size_t got = engine.poll(some);
    for (size_t i = 0; i < got; ++i) SS_CHECK(some[i].error == Error::kNone, "copies work");
    done += got;
  }
  return {static_cast<double>(count * bytes) / seconds_since(start) / 1e9,
          submitting / static_cast<double>(count) * 1e6};
}

// Memory that is told to the driver for the copy and forgotten behind it: what slots that are made for each
// fetch cost.
double run_registering(std::byte* host, std::byte* device, size_t bytes, bool deliver) {
  const size_t count = std::max<size_t>(1, std::min<size_t>(16, kStagingBytes / bytes / 4));
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < count; ++i) {
    std::byte* here = host + i * bytes % (64 << 20);
    check(cudaHostRegister(here, bytes, cudaHostRegisterDefault));
    check(deliver ? cudaMemcpy(device, here, bytes, cudaMemcpyHostToDevice)
                  : cudaMemcpy(here, device, bytes, cudaMemcpyDeviceToHost));
    check(cudaHostUnregister(here));
  }
  return static_cast<double>(count * bytes) / seconds_since(start) / 1e9;
}

double run_memcpy(std::byte* host, std::byte* device, size_t bytes, bool deliver) {
  const size_t count = kStagingBytes / bytes / 4;
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < count; ++i) {
    std::byte* here = host + i * bytes % (64 << 20);
    std::byte* there = device + i * bytes;
    check(deliver ? cudaMemcpy(there, here, bytes, cudaMemcpyHostToDevice)
                  : cudaMemcpy(here, there, bytes, cudaMemcpyDeviceToHost));
  }
  check(cudaDeviceSynchronize());
  return static_cast<double>(count * bytes) / seconds_since(start) / 1e9;
}

void bench_engine(const DeviceMemory& staging, const RegisteredMemory& slots, CudaCopyEngine& engine) {
  std::vector<std::byte> pageable(64 << 20, std::byte{1});
  std::printf(
      "\nCopies between registered slots and another process's GPU memory, GB/s, %zu under way; "
      "cudaMemcpy: one at a time\n\n",
      kInFlight);
  std::printf(
      "| copy | direction | engine | cudaMemcpy, registered | cudaMemcpy, pageable | registered for each "
      "copy | submit (us) |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n");
  // From a page of 16 tokens of 8 heads of 128, which a copy straight into pages would be made of, up to a
  // slot.
  for (size_t bytes = 32 << 10; bytes <= 4 << 20; bytes *= 2) {
    for (bool deliver : {true, false}) {
      double submit_us = 0;
      const Figure ours = figure_of([&] {
        const EngineRun run = run_engine(engine, slots.span(), staging.data(), bytes, deliver);
        submit_us = run.submit_us;
        return run.gb_per_s;
      });
      const Figure plain =
          figure_of([&] { return run_memcpy(slots.span().data(), staging.data(), bytes, deliver); });
      const Figure slow =
          figure_of([&] { return run_memcpy(pageable.data(), staging.data(), bytes, deliver); });
      const Figure anew =
          figure_of([&] { return run_registering(pageable.data(), staging.data(), bytes, deliver); });
      std::printf("| %zu KiB | %s | %s | %s | %s | %s | %.1f |\n", bytes >> 10,
                  deliver ? "to GPU" : "from GPU", text(ours).c_str(), text(plain).c_str(),
                  text(slow).c_str(), text(anew).c_str(), submit_us);
    }
  }
}

template <typename T>
DeviceMemory on_device(const std::vector<T>& values) {
  auto memory = DeviceMemory::allocate(0, values.size() * sizeof(T));
  SS_CHECK(memory, "small tables fit");
  check(cudaMemcpy(memory->data(), values.data(), memory->size(), cudaMemcpyHostToDevice));
  return std::move(*memory);
}

// What one launch takes, on the device's own clock.
double run_timed(uint64_t bytes, const std::function<void()>& launch) {
  cudaEvent_t start, end;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&end));
  check(cudaEventRecord(start, nullptr));
  launch();
  check(cudaEventRecord(end, nullptr));
  check(cudaEventSynchronize(end));
  float ms = 0;
  check(cudaEventElapsedTime(&ms, start, end));
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(end));
  return static_cast<double>(bytes) / ms / 1e6;
}

// One request of `trial.chunks` chunks: parts and blocks in no order, tables and values on the GPU.
void bench_kernels(const PagedTrial& trial) {
  const uint32_t tokens = trial.chunks * trial.chunk_tokens;
  const uint32_t blocks = tokens / trial.block_tokens * 2;
  PagedMove move;
  move.layout = paged_layout(trial, blocks);
  move.chunk_tokens = trial.chunk_tokens;
  move.token_end = tokens;
  move.part_planes_max = trial.part_planes;
  std::mt19937 random(1);
  std::vector<int32_t> ids(blocks);
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), random);
  ids.resize(blocks / 2);
  std::vector<StagedPart> parts;
  for (uint32_t chunk = 0; chunk < trial.chunks; ++chunk)
    for (uint32_t first = 0; first < move.layout.planes(); first += trial.part_planes)
      parts.push_back(
          {0, chunk * trial.chunk_tokens, first, std::min(trial.part_planes, move.layout.planes() - first)});
  std::shuffle(parts.begin(), parts.end(), random);
  for (size_t i = 0; i < parts.size(); ++i)
    parts[i].offset_bytes = i * trial.part_planes * move.plane_bytes();
  move.staging_bytes = parts.size() * trial.part_planes * move.plane_bytes();
  const uint64_t layer_bytes = (move.layout.layer_bytes() + 255) / 256 * 256;
  auto pages = DeviceMemory::allocate(0, layer_bytes * trial.layers);
  auto staging = DeviceMemory::allocate(0, move.staging_bytes);
  SS_CHECK(pages && staging, "the request fits this GPU");
  std::vector<std::byte*> bases;
  for (uint32_t layer = 0; layer < trial.layers; ++layer)
    bases.push_back(pages->data() + layer * layer_bytes);
  move.layer_base = bases.data();
  move.block_table = ids.data();
  move.block_table_size = static_cast<uint32_t>(ids.size());
  move.parts = parts.data();
  move.part_count = static_cast<uint32_t>(parts.size());
  move.staging = staging->data();
  SS_CHECK(check_paged_move(move), "the bench makes good requests");
  const DeviceMemory layers = on_device(bases), table = on_device(ids), list = on_device(parts);
  move.layer_base = reinterpret_cast<std::byte* const*>(layers.data());
  move.block_table = reinterpret_cast<const int32_t*>(table.data());
  move.parts = reinterpret_cast<const StagedPart*>(list.data());

  const uint64_t bytes = uint64_t{tokens} * move.layout.planes() * move.layout.row_bytes();
  const Figure plain = figure_of([&] {
    return run_timed(bytes, [&] {
      check(cudaMemcpyAsync(pages->data(), staging->data(), bytes, cudaMemcpyDeviceToDevice, nullptr));
    });
  });
  for (uint32_t most : {0u, 64u, 16u, 8u}) {
    const Figure in = figure_of(
        [&] { return run_timed(bytes, [&] { SS_CHECK(scatter_paged(move, nullptr, most), "it starts"); }); });
    const Figure out = figure_of(
        [&] { return run_timed(bytes, [&] { SS_CHECK(gather_paged(move, nullptr, most), "it starts"); }); });
    std::printf("| %s | %u | %s | %s | %s | %s |\n", trial.name.c_str(), tokens,
                most == 0 ? "all" : std::to_string(most).c_str(), text(in).c_str(), text(out).c_str(),
                text(plain).c_str());
  }
}

void bench_all_kernels() {
  std::printf(
      "\nPaged kernels: GB/s of values (each is read once and written once), one launch for all layers; "
      "cudaMemcpy: the same bytes in one piece on the GPU\n\n");
  std::printf(
      "| layout | tokens | thread blocks | scatter | gather | cudaMemcpy |\n"
      "| --- | --- | --- | --- | --- | --- |\n");
  for (uint32_t chunks : {4u, 32u}) {
    using enum PageOrder;
    bench_kernels(
        {"Llama 8B, [2][block][token][head]", kPairBlockTokenHead, 32, 8, 128, 2, 16, 256, chunks, 4});
    bench_kernels(
        {"Llama 8B, [block][2][token][head]", kBlockPairTokenHead, 32, 8, 128, 2, 16, 256, chunks, 4});
    bench_kernels(
        {"Llama 8B, [2][block][head][token]", kPairBlockHeadToken, 32, 8, 128, 2, 16, 256, chunks, 4});
    bench_kernels({"the same, fp8", kPairBlockHeadToken, 32, 8, 128, 1, 16, 256, chunks, 8});
    bench_kernels({"latent, 61 layers of 576", kOnePlane, 61, 1, 576, 2, 64, 256, chunks, 6});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) bench_repeats = std::max(1, std::atoi(argv[1]));
  const DeviceMemoryHandle handle = staging_of_another_process();  // before CUDA: it does not survive a fork
  if (gpu_count() == 0) {
    std::printf("gpu_copy_bench: there is no GPU here, nothing to measure\n");
    return 0;
  }
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0));
  int driver = 0;
  check(cudaDriverGetVersion(&driver));
  std::printf("%s, %d multiprocessors, driver for CUDA %d.%d; median [least-most] of %d runs\n",
              properties.name, properties.multiProcessorCount, driver / 1000, driver % 1000 / 10,
              bench_repeats);
  auto region = SharedRegion::create("gpu-copy-bench", kInFlight * (4 << 20));
  SS_CHECK(region, "slots can be had");
  check(cudaFree(nullptr));  // the context, which nobody below shall pay for
  auto start = std::chrono::steady_clock::now();
  auto staging = DeviceMemory::open(handle);
  SS_CHECK(staging, "another process's memory can be opened");
  const double open_ms = seconds_since(start) * 1e3;
  start = std::chrono::steady_clock::now();
  auto slots = RegisteredMemory::create(region->span());
  SS_CHECK(slots, "slots can be registered");
  const double register_ms = seconds_since(start) * 1e3;
  start = std::chrono::steady_clock::now();
  auto engine = CudaCopyEngine::create(0, *slots);
  SS_CHECK(engine, "an engine can be made");
  std::printf(
      "At start: opening %llu MiB of another process %.1f ms, registering %zu MiB %.1f ms, an engine %.1f "
      "ms\n",
      static_cast<unsigned long long>(kStagingBytes >> 20), open_ms, slots->span().size() >> 20, register_ms,
      seconds_since(start) * 1e3);
  bench_engine(*staging, *slots, **engine);
  bench_all_kernels();
  return 0;
}
