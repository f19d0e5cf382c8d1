// Chained hash table, block chains and use order by index, all in one lazily filled mapping.
#include "store/block_shelf.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "contract/check.h"

namespace shadowserve {

struct BlockShelf::Record {
  char key[kKeyBytesMax];
  uint32_t key_size;
  uint32_t bytes;
  uint32_t first_block;
  uint32_t next_in_bucket;
  uint32_t newer, older;
};

BlockShelf::~BlockShelf() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

Result<void> BlockShelf::open(uint64_t limit_bytes) {
  // A quarter more blocks than full ones would need, for the half-empty last block of each record.
  const uint64_t blocks = limit_bytes / kBlockBytes + limit_bytes / kBlockBytes / 4 + 64;
  if (blocks > UINT32_MAX / 2) return fail(Error::kSystem);
  block_count_ = static_cast<uint32_t>(blocks);
  const uint32_t buckets = std::bit_ceil(block_count_);
  bucket_mask_ = buckets - 1;
  const size_t numbers = size_t{block_count_} + 1;
  const size_t block_part = numbers * kBlockBytes;
  const size_t record_part = numbers * sizeof(Record);
  mapping_bytes_ = block_part + record_part + numbers * sizeof(uint32_t) + size_t{buckets} * sizeof(uint32_t);
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return fail(Error::kSystem);
  mapping_ = mapping;
  blocks_ = static_cast<std::byte*>(mapping);
  records_ = reinterpret_cast<Record*>(blocks_ + block_part);
  next_block_ = reinterpret_cast<uint32_t*>(blocks_ + block_part + record_part);
  buckets_ = next_block_ + numbers;
  usage_.limit_bytes = limit_bytes;
  return {};
}

uint32_t& BlockShelf::bucket(std::string_view key) const {
  return buckets_[std::hash<std::string_view>()(key) & bucket_mask_];
}

uint32_t BlockShelf::find(std::string_view key) const {
  uint32_t number = bucket(key);
  while (number != 0) {
    const Record& record = records_[number];
    if (std::string_view(record.key, record.key_size) == key) return number;
    number = record.next_in_bucket;
  }
  return 0;
}

void BlockShelf::unlink_use(uint32_t number) {
  const Record& record = records_[number];
  (record.older != 0 ? records_[record.older].newer : oldest_) = record.newer;
  (record.newer != 0 ? records_[record.newer].older : newest_) = record.older;
}

void BlockShelf::link_newest(uint32_t number) {
  Record& record = records_[number];
  record.newer = 0;
  record.older = newest_;
  (newest_ != 0 ? records_[newest_].newer : oldest_) = number;
  newest_ = number;
}

void BlockShelf::remove(uint32_t number) {
  Record& record = records_[number];
  unlink_use(number);
  uint32_t* link = &bucket(std::string_view(record.key, record.key_size));
  while (*link != number) link = &records_[*link].next_in_bucket;
  *link = record.next_in_bucket;
  for (uint32_t block = record.first_block; block != 0;) {
    const uint32_t next = next_block_[block];
    next_block_[block] = free_block_;
    free_block_ = block;
    --blocks_used_;
    block = next;
  }
  usage_.bytes -= record.bytes;
  --usage_.records;
  record.next_in_bucket = free_record_;
  free_record_ = number;
}

Result<size_t> BlockShelf::get(std::string_view key, std::span<std::byte> into) {
  const std::lock_guard lock(mutex_);
  const uint32_t number = find(key);
  if (number == 0) return fail(Error::kMiss);
  unlink_use(number);
  link_newest(number);
  const Record& record = records_[number];
  if (record.bytes > into.size()) return fail(Error::kNoCapacity);
  size_t done = 0;
  for (uint32_t block = record.first_block; done < record.bytes; block = next_block_[block]) {
    const size_t part = std::min<size_t>(kBlockBytes, record.bytes - done);
    std::memcpy(into.data() + done, blocks_ + size_t{block} * kBlockBytes, part);
    done += part;
  }
  return done;
}

Result<void> BlockShelf::put(std::string_view key, std::span<const std::byte> from) {
  const std::lock_guard lock(mutex_);
  SS_CHECK(key.size() <= kKeyBytesMax, "store keys are short");
  const size_t blocks = (from.size() + kBlockBytes - 1) / kBlockBytes;
  if (from.size() > usage_.limit_bytes || blocks > block_count_) return fail(Error::kNoCapacity);
  if (const uint32_t old = find(key); old != 0) remove(old);
  while (oldest_ != 0 && (usage_.bytes + from.size() > usage_.limit_bytes ||
                          blocks_used_ + blocks > block_count_ || usage_.records >= block_count_)) {
    remove(oldest_);
    ++usage_.evicted;
  }
  const uint32_t number = free_record_ != 0 ? free_record_ : fresh_record_++;
  Record& record = records_[number];
  if (number == free_record_) free_record_ = record.next_in_bucket;
  std::memcpy(record.key, key.data(), key.size());
  record.key_size = static_cast<uint32_t>(key.size());
  record.bytes = static_cast<uint32_t>(from.size());
  uint32_t* link = &record.first_block;
  for (size_t done = 0; done < from.size(); done += kBlockBytes) {
    const uint32_t block = free_block_ != 0 ? free_block_ : fresh_block_++;
    if (block == free_block_) free_block_ = next_block_[block];
    std::memcpy(blocks_ + size_t{block} * kBlockBytes, from.data() + done,
                std::min(kBlockBytes, from.size() - done));
    ++blocks_used_;
    *link = block;
    link = &next_block_[block];
  }
  *link = 0;
  uint32_t& head = bucket(key);
  record.next_in_bucket = head;
  head = number;
  link_newest(number);
  usage_.bytes += from.size();
  ++usage_.records;
  return {};
}

bool BlockShelf::contains(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  return find(key) != 0;
}

BlockShelf::Usage BlockShelf::usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

}  // namespace shadowserve
