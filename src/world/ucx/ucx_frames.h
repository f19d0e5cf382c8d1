// What a relay says to its client: a greeting, pieces of the store's bytes, and how they ended. See
// docs/formats/ucx-relay-v1.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace shadowserve {

/// Both sides begin with padding, the client without a frame: what UCX allocates for the first bytes it
/// allocates before bytes matter.
inline constexpr size_t kUcxWarmBytes = 256u << 10;
inline constexpr size_t kUcxFrameBytesMax = 1u << 20;

enum class UcxFrameKind : uint32_t {
  kGreeting = 0x54455247,  ///< the first one; `value` bytes of padding follow, to be dropped
  kBytes = 0x45545942,     ///< `value` bytes of the store follow
  kEnd = 0x20444e45,  ///< nothing follows; `value` is the errno of the store's connection, 0: it was closed
};

/// Eight bytes: kind and value, little-endian.
inline constexpr size_t kUcxFrameHeaderBytes = 8;
std::array<std::byte, kUcxFrameHeaderBytes> ucx_frame_header(UcxFrameKind kind, uint32_t value);

/// Reads frames from bytes as they come. What does not follow the format is kWrong, from then on.
class UcxFrames {
 public:
  enum class Event : uint8_t { kMore, kGreeted, kBytes, kEnd, kWrong };
  struct Step {
    Event event = Event::kMore;
    size_t bytes = 0;  ///< kBytes: that many of the front are the store's, of which took() tells; else: drop
  };
  /// What stands at the front of `in`, which is not empty.
  Step next(std::span<const std::byte> in);
  /// After kBytes: that many of them were used.
  void took(size_t bytes) { left_ -= static_cast<uint32_t>(bytes); }
  /// Of kEnd.
  int why() const { return why_; }

 private:
  enum class Where : uint8_t { kHeader, kPadding, kPayload, kEnded, kLost };
  Event begin_frame();
  Where where_ = Where::kHeader;
  bool greeted_ = false;
  uint32_t left_ = 0;  // of padding or payload
  int why_ = 0;
  size_t have_ = 0;  // of header_
  std::array<std::byte, kUcxFrameHeaderBytes> header_{};
};

}  // namespace shadowserve
