// Every value is checked before it is used: a relay is another process on another machine.
#include "world/ucx/ucx_frames.h"

#include <algorithm>

#include "world/ucx/ucx_bytes.h"

namespace shadowserve {

std::array<std::byte, kUcxFrameHeaderBytes> ucx_frame_header(UcxFrameKind kind, uint32_t value) {
  std::array<std::byte, kUcxFrameHeaderBytes> header;
  store_ucx(header.data(), static_cast<uint32_t>(kind));
  store_ucx(header.data() + 4, value);
  return header;
}

UcxFrames::Event UcxFrames::begin_frame() {
  const auto kind = static_cast<UcxFrameKind>(load_ucx(header_.data()));
  const uint32_t value = load_ucx(header_.data() + 4);
  have_ = 0;
  left_ = value;
  if (kind == UcxFrameKind::kEnd && value <= kUcxErrnoMax) {
    why_ = static_cast<int>(value);
    where_ = Where::kEnded;
    return Event::kEnd;
  }
  const bool sized = value > 0 && value <= kUcxFrameBytesMax;
  if (kind == UcxFrameKind::kGreeting && sized && !greeted_) {
    where_ = Where::kPadding;
  } else if (kind == UcxFrameKind::kBytes && sized && greeted_) {
    where_ = Where::kPayload;
  } else {
    where_ = Where::kLost;
    return Event::kWrong;
  }
  return Event::kMore;
}

UcxFrames::Step UcxFrames::next(std::span<const std::byte> in) {
  if (where_ == Where::kPayload && left_ == 0) where_ = Where::kHeader;
  switch (where_) {
    case Where::kHeader: {
      const size_t bytes = std::min(in.size(), header_.size() - have_);
      std::copy_n(in.begin(), bytes, header_.begin() + static_cast<long>(have_));
      have_ += bytes;
      return {have_ < header_.size() ? Event::kMore : begin_frame(), bytes};
    }
    case Where::kPadding: {
      const size_t bytes = std::min<size_t>(in.size(), left_);
      left_ -= static_cast<uint32_t>(bytes);
      if (left_ > 0) return {Event::kMore, bytes};
      greeted_ = true;
      where_ = Where::kHeader;
      return {Event::kGreeted, bytes};
    }
    case Where::kPayload:
      return {Event::kBytes, std::min<size_t>(in.size(), left_)};
    case Where::kEnded:
    case Where::kLost:
      break;
  }
  where_ = Where::kLost;
  return {Event::kWrong, in.size()};
}

}  // namespace shadowserve
