// What a move comes to as copies, where every page of a plane lies in one piece.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/paged_batch.h"

namespace shadowserve {

/// The copies of one part: piece i of `pages` belongs to piece i of `staging`, `bytes` long both. Pages that
/// are neighbours on both sides are one piece. Takes its memory when it is made; one thread.
class PagedRuns {
 public:
  /// False for pages whose heads lie apart ([head][token][dim], K and V of a head together): their pieces
  /// would be of some hundred bytes.
  static bool fit(const PagedLayout& layout);

  /// REQUIRES fit(memory.layout), and check_paged_memory().
  explicit PagedRuns(const PagedMemory& memory);

  /// Replaces what was listed before. REQUIRES check_paged_move() of `move`, whose part this is, with host
  /// tables, and chunks of `memory`.
  void list(const PagedMove& move, const StagedPart& part);

  size_t size() const { return size_; }
  std::span<std::byte* const> pages() const { return {pages_.data(), size_}; }
  std::span<std::byte* const> staging() const { return {staging_.data(), size_}; }
  std::span<const size_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  void add(std::byte* page, std::byte* staged, size_t bytes);

  std::vector<std::byte*> pages_, staging_;
  std::vector<size_t> bytes_;
  size_t size_ = 0;
};

}  // namespace shadowserve
