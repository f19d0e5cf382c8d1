// The bytes of the link across machines: frames, what is in them, and a reader that believes none of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/calibration_call.h"
#include "wire/link_message.h"
#include "wire/network/memory_window.h"

namespace shadowserve {

inline constexpr uint32_t kNetworkMagic = 0x4e4c5353;  // "SSLN"
inline constexpr uint16_t kNetworkVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 12;

/// See docs/formats/link-network-v1.md for every byte.
enum class FrameType : uint8_t {
  kHello = 1,     ///< engine: first frame of a link
  kWelcome = 2,   ///< plane: the answer
  kRequests = 3,  ///< engine: 1 to kBatchMax
  kReplies = 4,   ///< plane: 1 to kBatchMax
  kPing = 5,      ///< either: answered with a pong of the same bytes
  kPong = 6,
  kGoodbye = 7,  ///< either: error and sentence; the last frame. The same in every version
  kCall = 8,     ///< engine: first and only frame: a calibration to keep or to give out
  kAnswer = 9,   ///< plane: the answer to a call, the last frame
};

/// Requests or replies of one frame: a TLS record of 16 KiB.
inline constexpr size_t kBatchMax = 255;
inline constexpr size_t kHelloBytes = 176;
inline constexpr size_t kGoodbyeBytes = 200;
inline constexpr size_t kPingBytes = 8;
inline constexpr size_t kCallBytes = 40;
inline constexpr size_t kAnswerBytes = 248;

/// Which frames a side takes: those of the other one.
enum class FrameSide : uint8_t { kPlane, kEngine };

enum class FrameEvent : uint8_t {
  kMore,          ///< the frame is not whole yet
  kFrame,         ///< type() and payload()
  kOtherVersion,  ///< a frame of this protocol, but of another version
  kBroken,        ///< anything else; nothing after it can be understood
};

/// Cuts a stream into frames. Takes at most the largest frame that its side may get, and only while one is
/// coming in.
class FrameReader {
 public:
  explicit FrameReader(FrameSide side);
  /// Where the next bytes of the stream go; never empty. Ends the life of payload().
  std::span<std::byte> room();
  void took(size_t bytes);
  FrameEvent next();
  FrameType type() const { return type_; }
  std::span<const std::byte> payload() const { return payload_; }
  /// kOtherVersion: which.
  uint16_t version() const { return version_; }
  size_t capacity() const { return bytes_.size(); }

 private:
  FrameSide side_;
  std::vector<std::byte> bytes_;
  size_t first_ = 0, end_ = 0;
  size_t wanted_ = kFrameHeaderBytes;
  FrameType type_{};
  uint16_t version_ = 0;
  std::span<const std::byte> payload_;
};

/// What an engine's hello says. The calibration's bytes are those of the frame.
struct NetworkHello {
  LinkHello hello;  ///< staging_kind kHost; staging_bytes as in `window`
  WindowHandle window;
  std::span<const std::byte> calibration;
};
struct NetworkWelcome {
  uint32_t ring_entries = 0;
  uint32_t session = 0;
};
struct NetworkGoodbye {
  Error error = Error::kNone;
  std::string sentence;
};
struct NetworkCall {
  CalibrationOp op = CalibrationOp::kFetch;
  ChunkKey fingerprint{};
  std::span<const std::byte> file;  ///< kPublish
};
struct NetworkAnswer {
  Error error = Error::kNone;
  std::string sentence;
  std::span<const std::byte> file;  ///< of a fetch
};

/// Whole frames.
std::vector<std::byte> frame_hello(const NetworkHello& hello);
std::vector<std::byte> frame_welcome(const NetworkWelcome& welcome);
std::vector<std::byte> frame_goodbye(Error error, std::string_view sentence);
std::vector<std::byte> frame_call(const NetworkCall& call);
std::vector<std::byte> frame_answer(Error error, std::string_view sentence, std::span<const std::byte> file);
std::array<std::byte, kFrameHeaderBytes + kPingBytes> frame_ping(FrameType type, uint64_t number);

/// Room for one frame of a full batch.
using BatchBuffer = std::array<std::byte, kFrameHeaderBytes + kBatchMax * sizeof(LinkRequest)>;
/// Deadlines travel as what is left of them. REQUIRES 1 to kBatchMax. The frame lies in `buffer`.
std::span<const std::byte> frame_requests(std::span<const LinkRequest> requests, uint64_t now_ns,
                                          BatchBuffer& buffer);
std::span<const std::byte> frame_replies(std::span<const LinkReply> replies, BatchBuffer& buffer);

/// False: the payload contradicts itself. Payloads come from FrameReader, which checked their sizes.
bool read_hello(std::span<const std::byte> payload, NetworkHello& out);
NetworkWelcome read_welcome(std::span<const std::byte> payload);
NetworkGoodbye read_goodbye(std::span<const std::byte> payload);
bool read_call(std::span<const std::byte> payload, NetworkCall& out);
NetworkAnswer read_answer(std::span<const std::byte> payload);
uint64_t read_ping(std::span<const std::byte> payload);
/// Number `index` of the batch; its deadline counted from `now_ns`, at most 60 s ahead.
LinkRequest read_request(std::span<const std::byte> payload, size_t index, uint64_t now_ns);
LinkReply read_reply(std::span<const std::byte> payload, size_t index);

}  // namespace shadowserve
