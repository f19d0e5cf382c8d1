// A bounded map from key to bytes in fixed blocks of one mapping, least recently used first out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>

#include "contract/result.h"

namespace shadowserve {

/// Any thread; every call holds one mutex for as long as it copies. Allocates nothing after open().
class BlockShelf {
 public:
  static constexpr size_t kBlockBytes = 16u << 10;
  static constexpr size_t kKeyBytesMax = 88;

  BlockShelf() = default;
  ~BlockShelf();
  BlockShelf(const BlockShelf&) = delete;
  BlockShelf& operator=(const BlockShelf&) = delete;

  /// Reserves address space. kSystem when there is none.
  Result<void> open(uint64_t limit_bytes);

  /// Copies the value out, marks it used; returns its size. kMiss, kNoCapacity (longer than `into`).
  Result<size_t> get(std::string_view key, std::span<std::byte> into);
  /// Replaces or adds, evicting what is needed. kNoCapacity when it could never fit.
  Result<void> put(std::string_view key, std::span<const std::byte> from);
  bool contains(std::string_view key) const;

  struct Usage {
    uint64_t bytes = 0, records = 0, evicted = 0, limit_bytes = 0;
  };
  Usage usage() const;

 private:
  struct Record;  // numbered from 1; 0 means none, which is also what fresh pages hold
  uint32_t find(std::string_view key) const;
  void unlink_use(uint32_t number);
  void link_newest(uint32_t number);
  void remove(uint32_t number);
  uint32_t& bucket(std::string_view key) const;

  mutable std::mutex mutex_;
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  std::byte* blocks_ = nullptr;     // block_count_ of kBlockBytes
  uint32_t* next_block_ = nullptr;  // chain of a record's blocks, and of free blocks
  Record* records_ = nullptr;
  uint32_t* buckets_ = nullptr;
  uint32_t block_count_ = 0, bucket_mask_ = 0;
  uint32_t free_block_ = 0, fresh_block_ = 1, free_record_ = 0, fresh_record_ = 1;
  uint32_t blocks_used_ = 0, oldest_ = 0, newest_ = 0;
  Usage usage_;
};

}  // namespace shadowserve
