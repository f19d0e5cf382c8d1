// A span of memory taken once: anonymous or a sealed memfd that another process can map; pinned when allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/result.h"

namespace shadowserve {

/// Owns one mapping (and its memfd, when it has one). Move only. Never grows, never falls back to the heap.
class SharedRegion {
 public:
  SharedRegion() = default;
  SharedRegion(SharedRegion&& other) noexcept;
  SharedRegion& operator=(SharedRegion&& other) noexcept;
  ~SharedRegion();

  /// A new memfd of `bytes` (rounded up to pages), mapped, touched, and sealed against resizing so that a
  /// peer cannot make us fault. `name` shows in /proc. Errors: kSystem.
  static Result<SharedRegion> create(const char* name, size_t bytes);

  /// Maps a memfd received from a peer; takes ownership of `fd` in every case. Refuses (kConfig) one that is
  /// smaller than `bytes` or not sealed against shrinking: a peer could truncate it under our feet.
  static Result<SharedRegion> map(int fd, size_t bytes);

  /// Locks the pages into memory. False when RLIMIT_MEMLOCK does not allow it (the region stays usable).
  bool pin();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int fd() const { return fd_; }
  bool pinned() const { return pinned_; }
  explicit operator bool() const { return data_ != nullptr; }
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  void release();
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
  bool pinned_ = false;
};

}  // namespace shadowserve
