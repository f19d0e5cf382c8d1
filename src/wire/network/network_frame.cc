// Fields one after the other, little-endian; sizes are looked at before anything else.
#include "wire/network/network_frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "contract/check.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

static_assert(std::endian::native == std::endian::little, "fields are copied as they lie in memory");

constexpr size_t kSteadyBytes = 32u << 10;
constexpr size_t kHelloMax = kHelloBytes + kLinkCalibrationBytesMax;
constexpr size_t kSentenceBytes = kGoodbyeBytes - 8;
constexpr uint64_t kDeadlineUsMax = 60'000'000;
static_assert(kCallBytes == 8 + sizeof(ChunkKey));
static_assert(sizeof(BatchBuffer) <= kSteadyBytes);

struct Sizes {
  FrameSide taker;
  size_t least, most, step;
};

/// What a side may get, by type; least > most: nothing.
Sizes sizes_of(uint8_t type, FrameSide side) {
  const auto of = [side](FrameSide taker, size_t least, size_t most, size_t step = 1) {
    return taker == side ? Sizes{taker, least, most, step} : Sizes{taker, 1, 0, 1};
  };
  switch (static_cast<FrameType>(type)) {
    case FrameType::kHello:
      return of(FrameSide::kPlane, kHelloBytes, kHelloMax);
    case FrameType::kWelcome:
      return of(FrameSide::kEngine, 16, 16);
    case FrameType::kRequests:
      return of(FrameSide::kPlane, sizeof(LinkRequest), kBatchMax * sizeof(LinkRequest), sizeof(LinkRequest));
    case FrameType::kReplies:
      return of(FrameSide::kEngine, sizeof(LinkReply), kBatchMax * sizeof(LinkReply), sizeof(LinkReply));
    case FrameType::kPing:
    case FrameType::kPong:
      return of(side, kPingBytes, kPingBytes);
    case FrameType::kGoodbye:
      return of(side, kGoodbyeBytes, kGoodbyeBytes);
    case FrameType::kCall:
      return of(FrameSide::kPlane, kCallBytes, kCallBytes + kLinkCalibrationBytesMax);
    case FrameType::kAnswer:
      return of(FrameSide::kEngine, kAnswerBytes, kAnswerBytes + kLinkCalibrationBytesMax);
  }
  return {side, 1, 0, 1};
}

template <typename Field>
void put(std::byte*& at, const Field& field) {
  std::memcpy(at, &field, sizeof field);
  at += sizeof field;
}
template <typename Field>
void get(const std::byte*& at, Field& field) {
  std::memcpy(&field, at, sizeof field);
  at += sizeof field;
}

void put_header(std::byte*& at, FrameType type, size_t payload_bytes) {
  put(at, kNetworkMagic);
  put(at, kNetworkVersion);
  put(at, type);
  put(at, uint8_t{0});
  put(at, static_cast<uint32_t>(payload_bytes));
}

std::vector<std::byte> frame_of(FrameType type, size_t payload_bytes) {
  std::vector<std::byte> frame(kFrameHeaderBytes + payload_bytes);
  std::byte* at = frame.data();
  put_header(at, type, payload_bytes);
  return frame;
}

void put_bytes(std::byte*& at, std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  at += bytes.size();
}

/// NUL padded, at least one.
void put_text(std::byte*& at, std::string_view text, size_t bytes) {
  std::memset(at, 0, bytes);
  std::memcpy(at, text.data(), std::min(text.size(), bytes - 1));
  at += bytes;
}
std::string get_text(const std::byte* at, size_t bytes) {
  const char* const text = reinterpret_cast<const char*>(at);
  std::string out(text, strnlen(text, bytes));
  // It goes to logs: a peer's line breaks and escapes do not.
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return out;
}

Error error_of(uint8_t code) { return code < kErrorCount ? static_cast<Error>(code) : Error::kPlaneDown; }

}  // namespace

FrameReader::FrameReader(FrameSide side) : side_(side), bytes_(kSteadyBytes) {}

std::span<std::byte> FrameReader::room() {
  payload_ = {};
  if (first_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + first_, end_ - first_);
    end_ -= first_;
    first_ = 0;
  }
  const size_t size = std::max(kSteadyBytes, wanted_);
  if (bytes_.size() < size || (bytes_.size() > size && end_ <= size)) {
    bytes_.resize(size);
    bytes_.shrink_to_fit();
  }
  return std::span(bytes_).subspan(end_);
}

void FrameReader::took(size_t bytes) {
  SS_CHECK(bytes <= bytes_.size() - end_, "no more than there was room for");
  end_ += bytes;
}

FrameEvent FrameReader::next() {
  payload_ = {};
  wanted_ = kFrameHeaderBytes;
  if (end_ - first_ < kFrameHeaderBytes) return FrameEvent::kMore;
  const std::byte* at = bytes_.data() + first_;
  uint32_t magic, size;
  uint8_t type, reserved;
  get(at, magic);
  get(at, version_);
  get(at, type);
  get(at, reserved);
  get(at, size);
  if (magic != kNetworkMagic) return FrameEvent::kBroken;
  const bool goodbye = type == static_cast<uint8_t>(FrameType::kGoodbye) && size == kGoodbyeBytes;
  if (version_ != kNetworkVersion && !goodbye) return FrameEvent::kOtherVersion;
  const Sizes sizes = sizes_of(type, side_);
  if (size < sizes.least || size > sizes.most || size % sizes.step != 0 || reserved != 0)
    return FrameEvent::kBroken;
  wanted_ = kFrameHeaderBytes + size;
  if (end_ - first_ < wanted_) return FrameEvent::kMore;
  type_ = static_cast<FrameType>(type);
  payload_ = {at, size};
  first_ += wanted_;
  wanted_ = kFrameHeaderBytes;
  return FrameEvent::kFrame;
}

std::vector<std::byte> frame_hello(const NetworkHello& from) {
  const LinkHello& hello = from.hello;
  SS_CHECK(from.calibration.size() <= kLinkCalibrationBytesMax, "options take no larger calibration");
  auto frame = frame_of(FrameType::kHello, kHelloBytes + from.calibration.size());
  std::byte* at = frame.data() + kFrameHeaderBytes;
  for (const uint32_t field : {hello.geometry.layers, hello.geometry.kv_heads, hello.geometry.head_dim,
                               hello.geometry.chunk_tokens}) {
    put(at, field);
  }
  put(at, hello.geometry.element_number);
  put(at, hello.seal_kind);
  put(at, static_cast<uint8_t>(from.window.bytes > 0 ? WindowKind::kWindow : WindowKind::kNone));
  put(at, uint8_t{0});
  put(at, hello.profile);
  put(at, hello.seal_key);
  put(at, hello.client_name);
  put(at, from.window.token);
  put(at, from.window.bytes);
  put(at, static_cast<uint32_t>(from.calibration.size()));
  put(at, uint64_t{0});
  SS_CHECK(at == frame.data() + kFrameHeaderBytes + kHelloBytes, "the page of the format says so");
  put_bytes(at, from.calibration);
  return frame;
}

bool read_hello(std::span<const std::byte> payload, NetworkHello& out) {
  const std::byte* at = payload.data();
  LinkHello& hello = out.hello;
  for (uint32_t* const field : {&hello.geometry.layers, &hello.geometry.kv_heads, &hello.geometry.head_dim,
                                &hello.geometry.chunk_tokens}) {
    get(at, *field);
  }
  uint8_t window_kind, reserved;
  uint32_t calibration_bytes;
  uint64_t reserved2;
  get(at, hello.geometry.element_number);
  get(at, hello.seal_kind);
  get(at, window_kind);
  get(at, reserved);
  get(at, hello.profile);
  get(at, hello.seal_key);
  get(at, hello.client_name);
  get(at, out.window.token);
  get(at, out.window.bytes);
  get(at, calibration_bytes);
  get(at, reserved2);
  if (window_kind > static_cast<uint8_t>(WindowKind::kWindow) || reserved != 0 || reserved2 != 0)
    return false;
  if ((window_kind == static_cast<uint8_t>(WindowKind::kNone)) != (out.window.bytes == 0)) return false;
  if (calibration_bytes != payload.size() - kHelloBytes) return false;
  hello.staging_kind = StagingKind::kHost;
  hello.staging_bytes = out.window.bytes;
  hello.calibration_bytes = calibration_bytes;
  out.calibration = payload.subspan(kHelloBytes);
  return true;
}

std::vector<std::byte> frame_welcome(const NetworkWelcome& welcome) {
  auto frame = frame_of(FrameType::kWelcome, 16);
  std::byte* at = frame.data() + kFrameHeaderBytes;
  put(at, welcome.ring_entries);
  put(at, welcome.session);
  return frame;
}

NetworkWelcome read_welcome(std::span<const std::byte> payload) {
  NetworkWelcome welcome;
  const std::byte* at = payload.data();
  get(at, welcome.ring_entries);
  get(at, welcome.session);
  return welcome;
}

std::vector<std::byte> frame_goodbye(Error error, std::string_view sentence) {
  auto frame = frame_of(FrameType::kGoodbye, kGoodbyeBytes);
  std::byte* at = frame.data() + kFrameHeaderBytes;
  put(at, static_cast<uint64_t>(error));
  put_text(at, sentence, kSentenceBytes);
  return frame;
}

NetworkGoodbye read_goodbye(std::span<const std::byte> payload) {
  return {error_of(static_cast<uint8_t>(payload[0])), get_text(payload.data() + 8, kSentenceBytes)};
}

std::vector<std::byte> frame_call(const NetworkCall& call) {
  auto frame = frame_of(FrameType::kCall, kCallBytes + call.file.size());
  std::byte* at = frame.data() + kFrameHeaderBytes;
  put(at, static_cast<uint64_t>(call.op));
  put(at, call.fingerprint);
  put_bytes(at, call.file);
  return frame;
}

bool read_call(std::span<const std::byte> payload, NetworkCall& out) {
  const std::byte* at = payload.data();
  uint64_t op;
  get(at, op);
  get(at, out.fingerprint);
  out.file = payload.subspan(kCallBytes);
  out.op = static_cast<CalibrationOp>(op);
  if (op == static_cast<uint64_t>(CalibrationOp::kPublish)) return !out.file.empty();
  return op == static_cast<uint64_t>(CalibrationOp::kFetch) && out.file.empty();
}

std::vector<std::byte> frame_answer(Error error, std::string_view sentence, std::span<const std::byte> file) {
  auto frame = frame_of(FrameType::kAnswer, kAnswerBytes + file.size());
  std::byte* at = frame.data() + kFrameHeaderBytes;
  put(at, static_cast<uint64_t>(error));
  put_text(at, sentence, kAnswerBytes - 8);
  put_bytes(at, file);
  return frame;
}

NetworkAnswer read_answer(std::span<const std::byte> payload) {
  return {error_of(static_cast<uint8_t>(payload[0])), get_text(payload.data() + 8, kAnswerBytes - 8),
          payload.subspan(kAnswerBytes)};
}

std::array<std::byte, kFrameHeaderBytes + kPingBytes> frame_ping(FrameType type, uint64_t number) {
  std::array<std::byte, kFrameHeaderBytes + kPingBytes> frame;
  std::byte* at = frame.data();
  put_header(at, type, kPingBytes);
  put(at, number);
  return frame;
}

uint64_t read_ping(std::span<const std::byte> payload) {
  uint64_t number;
  std::memcpy(&number, payload.data(), sizeof number);
  return number;
}

std::span<const std::byte> frame_requests(std::span<const LinkRequest> requests, uint64_t now_ns,
                                          BatchBuffer& buffer) {
  SS_CHECK(!requests.empty() && requests.size() <= kBatchMax, "a batch fits its frame");
  std::byte* at = buffer.data();
  put_header(at, FrameType::kRequests, requests.size_bytes());
  for (LinkRequest request : requests) {
    const uint64_t left_ns = request.deadline_ns > now_ns ? request.deadline_ns - now_ns : 0;
    request.deadline_ns = left_ns / kNsPerUs;
    put(at, request);
  }
  return std::span(buffer).first(static_cast<size_t>(at - buffer.data()));
}

LinkRequest read_request(std::span<const std::byte> payload, size_t index, uint64_t now_ns) {
  LinkRequest request;
  std::memcpy(&request, payload.data() + index * sizeof request, sizeof request);
  request.deadline_ns = now_ns + std::min(request.deadline_ns, kDeadlineUsMax) * kNsPerUs;
  return request;
}

std::span<const std::byte> frame_replies(std::span<const LinkReply> replies, BatchBuffer& buffer) {
  SS_CHECK(!replies.empty() && replies.size() <= kBatchMax, "a batch fits its frame");
  std::byte* at = buffer.data();
  put_header(at, FrameType::kReplies, replies.size_bytes());
  std::memcpy(at, replies.data(), replies.size_bytes());
  return std::span(buffer).first(kFrameHeaderBytes + replies.size_bytes());
}

LinkReply read_reply(std::span<const std::byte> payload, size_t index) {
  LinkReply reply;
  std::memcpy(&reply, payload.data() + index * sizeof reply, sizeof reply);
  return reply;
}

}  // namespace shadowserve
