// Memory for tests that ends exactly where an unreadable page begins.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <span>

namespace shadowserve {

/// Catches what a sanitizer cannot see: assembler.
class FencedBuffer {
 public:
  explicit FencedBuffer(size_t bytes) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    room_ = (bytes + page_ - 1) / page_ * page_;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, room_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(base_ + room_, page_, PROT_NONE), 0);
    span_ = {base_ + room_ - bytes, bytes};
  }
  ~FencedBuffer() { munmap(base_, room_ + page_); }
  FencedBuffer(const FencedBuffer&) = delete;
  FencedBuffer& operator=(const FencedBuffer&) = delete;
  std::span<std::byte> span() { return span_; }

 private:
  size_t page_, room_;
  std::byte* base_;
  std::span<std::byte> span_;
};

}  // namespace shadowserve
