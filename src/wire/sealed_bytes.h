// Bytes that go to another process in a memfd which nobody can change any more, its writer included.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

/// Owns the memfd. Move only. Any thread; allocates nothing but the memfd's pages.
class SealedBytes {
 public:
  SealedBytes() = default;
  SealedBytes(SealedBytes&& other) noexcept;
  SealedBytes& operator=(SealedBytes&& other) noexcept;
  ~SealedBytes();

  /// A memfd with a copy of `bytes`, sealed against shrinking, growing and writing. `name` shows in /proc.
  /// Errors: kSystem.
  static Result<SealedBytes> create(const char* name, std::span<const std::byte> bytes);
  /// What a peer sent; takes `fd` in every case. Errors: kConfig for anything but a memfd of exactly `bytes`
  /// bytes that has all three seals.
  static Result<SealedBytes> adopt(int fd, size_t bytes);

  int fd() const { return fd_; }
  size_t size() const { return size_; }
  /// A copy. Errors: kSystem.
  Result<std::vector<std::byte>> read() const;

 private:
  int fd_ = -1;
  size_t size_ = 0;
};

}  // namespace shadowserve
