// Memory, devices and copies of the double.
#include <sys/mman.h>
#include <unistd.h>

#include <map>

#include "cuda_double.h"
#include "cuda_objects.h"

namespace shadowserve::cuda_double {
namespace {

thread_local int current_device = 0;
std::atomic<uint32_t> refusals{0};

// What CUDA knows of the address space: device memory, and host memory that is pinned.
struct Known {
  size_t bytes = 0;
  int fd = -1;  // device memory of ours: what another process would map
};
std::mutex known_mutex;
std::map<uintptr_t, Known> known;

uintptr_t address(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

bool is_known(const void* memory, size_t bytes) {
  const std::lock_guard lock(known_mutex);
  auto behind = known.upper_bound(address(memory));
  if (behind == known.begin()) return false;
  const auto& [begin, memory_here] = *--behind;
  return address(memory) + bytes <= begin + memory_here.bytes;
}

bool overlaps_known(const void* memory, size_t bytes) {
  const std::lock_guard lock(known_mutex);
  const auto behind = known.lower_bound(address(memory) + bytes);
  if (behind == known.begin()) return false;
  const auto& [begin, memory_here] = *std::prev(behind);
  return begin + memory_here.bytes > address(memory);
}

void learn(const void* memory, Known what) {
  const std::lock_guard lock(known_mutex);
  known[address(memory)] = what;
}

// Of no bytes: nobody knew it.
Known forget(const void* memory) {
  const std::lock_guard lock(known_mutex);
  const auto found = known.find(address(memory));
  if (found == known.end()) return {};
  const Known what = found->second;
  known.erase(found);
  return what;
}

Known known_at(const void* memory) {
  const std::lock_guard lock(known_mutex);
  const auto found = known.find(address(memory));
  return found == known.end() ? Known{} : found->second;
}

cudaError_t map(void** memory, Known what) {
  *memory = mmap(nullptr, what.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, what.fd, 0);
  if (*memory == MAP_FAILED) return told(cudaErrorMemoryAllocation);
  learn(*memory, what);
  return cudaSuccess;
}

cudaError_t take(void** memory, size_t bytes) {
  not_while_capturing();
  const int fd = memfd_create("cuda-double", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) return told(cudaErrorMemoryAllocation);
  return map(memory, {bytes, fd});
}

// Others' mappings stay valid, as with CUDA. `waits`: for the device, as freeing does.
cudaError_t give_up(void* memory, bool waits = true) {
  not_while_capturing();
  if (memory == nullptr) return cudaSuccess;
  const Known was = forget(memory);
  if (was.bytes == 0) return told(cudaErrorInvalidValue);
  if (any_stream_touches(memory, was.bytes)) ++noticed().under_way;
  if (waits) finish_all_streams();
  munmap(memory, was.bytes);
  if (was.fd >= 0) close(was.fd);
  return cudaSuccess;
}

void copy(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  ++noticed().copies;
  if (is_known(to, bytes) && is_known(from, bytes)) {
    stream->put([=] { std::memcpy(to, from, bytes); }, from, to, bytes);
    return;
  }
  // CUDA takes it through memory of its own, and the caller waits.
  ++noticed().pageable;
  stream->finish();
  std::memcpy(to, from, bytes);
}

bool refused() {
  uint32_t left = refusals.load();
  while (left > 0 && !refusals.compare_exchange_weak(left, left - 1)) {
  }
  return left > 0;
}

}  // namespace

Noticed& noticed() {
  static Noticed all;
  return all;
}

void refuse_copies(uint32_t calls) { refusals = calls; }

void reset() {
  refusals = 0;
  for (auto* counter :
       {&noticed().copies, &noticed().batches, &noticed().kernels, &noticed().pageable, &noticed().under_way})
    *counter = 0;
}

}  // namespace shadowserve::cuda_double

using namespace shadowserve::cuda_double;

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "an error"; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return told(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** entry, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  using AddressRange = int (*)(unsigned long long*, size_t*, unsigned long long);
  const AddressRange range = [](unsigned long long* base, size_t* bytes, unsigned long long pointer) {
    *base = pointer;
    *bytes = known_at(reinterpret_cast<const void*>(pointer)).bytes;
    return *bytes > 0 ? 0 : 1;
  };
  *entry = reinterpret_cast<void*>(range);
  *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return take(memory, bytes); }
cudaError_t cudaFree(void* memory) { return give_up(memory); }
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) { return take(memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return give_up(memory); }

cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned) {
  not_while_capturing();
  if (overlaps_known(memory, bytes)) return told(cudaErrorInvalidValue);
  learn(memory, {bytes, -1});
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* memory) {
  const size_t bytes = forget(memory).bytes;
  if (bytes == 0) return told(cudaErrorInvalidValue);
  if (any_stream_touches(memory, bytes)) ++noticed().under_way;
  return cudaSuccess;
}

// A process may open its own here, which CUDA refuses: engine and data plane of these tests are one process.
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* memory) {
  const Known what = known_at(memory);
  if (what.fd < 0) return told(cudaErrorInvalidValue);
  std::memset(handle, 0, sizeof *handle);
  std::memcpy(handle->reserved, &what, sizeof what);
  return cudaSuccess;
}
cudaError_t cudaIpcOpenMemHandle(void** memory, cudaIpcMemHandle_t handle, unsigned) {
  Known what;
  std::memcpy(&what, handle.reserved, sizeof what);
  if (what.bytes == 0 || (what.fd = dup(what.fd)) < 0) return told(cudaErrorInvalidValue);
  return map(memory, what);
}
cudaError_t cudaIpcCloseMemHandle(void* memory) { return give_up(memory, false); }

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (refused()) return told(cudaErrorUnknown);
  copy(to, from, bytes, stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpyBatchAsync(void* const* to, const void* const* from, const size_t* bytes, size_t count,
                                 cudaMemcpyAttributes* attributes, size_t* of_first, size_t attribute_count,
                                 cudaStream_t stream) {
  if (count == 0 || attribute_count != 1 || of_first[0] != 0 || stream == nullptr ||
      attributes[0].srcAccessOrder != cudaMemcpySrcAccessOrderStream)
    return told(cudaErrorInvalidValue);
  if (refused()) return told(cudaErrorUnknown);
  ++noticed().batches;
  for (size_t i = 0; i < count; ++i) copy(to[i], from[i], bytes[i], stream);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int byte, size_t bytes) {
  std::memset(memory, byte, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream) {
  stream->put([=] { std::memset(memory, byte, bytes); }, nullptr, memory, bytes);
  return cudaSuccess;
}
