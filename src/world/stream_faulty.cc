// Draws a fate for every call.
#include "world/stream_faulty.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace shadowserve {

Result<void> FaultyStream::connect(const StreamAddress& to) {
  why_ = 0;
  if (connects_++ < faults_.refused_connects) {
    why_ = ECONNREFUSED;
    return fail(Error::kSystem);
  }
  bytes_left_ = UINT64_MAX;
  if (faults_.reset_after_bytes != 0) {
    bytes_left_ = std::uniform_int_distribution<uint64_t>(1, faults_.reset_after_bytes * 2)(random_);
  }
  return inner_->connect(to);
}

Result<size_t> FaultyStream::move(std::span<const iovec> parts, bool reading) {
  if (bytes_left_ == 0) {
    why_ = ECONNRESET;
    return fail(Error::kSystem);
  }
  if (std::uniform_real_distribution<double>(0, 1)(random_) < faults_.stall) {
    if (reading && !inner_->flush()) return fail(Error::kSystem);
    return size_t{0};
  }
  const uint64_t most = std::min<uint64_t>(faults_.transfer_bytes_max, bytes_left_);
  uint64_t room = most == UINT64_MAX ? most : std::uniform_int_distribution<uint64_t>(1, most)(random_);
  std::array<iovec, 64> shortened;
  size_t count = 0;
  for (const iovec& part : parts) {
    if (count == shortened.size() || room == 0) break;
    shortened[count] = part;
    shortened[count].iov_len = std::min<uint64_t>(part.iov_len, room);
    room -= shortened[count++].iov_len;
  }
  const std::span<const iovec> some(shortened.data(), count);
  const Result<size_t> moved = reading ? inner_->readv(some) : inner_->writev(some);
  if (moved && bytes_left_ != UINT64_MAX) bytes_left_ -= *moved;
  return moved;
}

}  // namespace shadowserve
