// The caller's end: one message there, one back.
#include "wire/calibration_call.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "contract/check.h"
#include "wire/link_message.h"
#include "wire/network/network_call.h"
#include "wire/sealed_bytes.h"
#include "wire/unix_socket.h"

namespace shadowserve {
namespace {

constexpr char kKeyLabel[] = "shadowserve/calibration/v1";
constexpr int kRetryMs = 50;

int ms_until(uint64_t deadline_ns) {
  const uint64_t now = MonotonicClock().now_ns();
  return now >= deadline_ns
             ? 0
             : static_cast<int>(std::min<uint64_t>((deadline_ns - now) / kNsPerMs + 1, 60'000));
}

class Caller {
 public:
  Caller(const std::string& socket_path, uint64_t deadline_ns)
      : socket_path_(socket_path), deadline_ns_(deadline_ns) {}
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() {
    if (fd_ >= 0) close(fd_);
  }

  /// The plane's answer; its descriptors are in `fds`.
  Result<CalibrationAnswer> ask(const CalibrationCall& call, std::span<const int> sent, ReceivedFds& fds,
                                std::string& message) {
    auto answer = exchange(call, sent, fds, message);
    if (!answer) return answer;
    if (answer->error == 0) return answer;
    answer->text[sizeof answer->text - 1] = '\0';
    message = answer->text;
    return fail(answer->error < kErrorCount ? static_cast<Error>(answer->error) : Error::kPlaneDown);
  }

 private:
  Result<CalibrationAnswer> exchange(const CalibrationCall& call, std::span<const int> sent, ReceivedFds& fds,
                                     std::string& message) {
    for (auto connected = connect_unix(socket_path_, SOCK_SEQPACKET);;
         connected = connect_unix(socket_path_, SOCK_SEQPACKET)) {
      if (connected) {
        fd_ = *connected;
        break;
      }
      if (ms_until(deadline_ns_) == 0) {
        message = fmt::format("no data plane answers on {}", socket_path_);
        return fail(Error::kPlaneDown);
      }
      poll(nullptr, 0, std::min(kRetryMs, ms_until(deadline_ns_)));
    }
    CalibrationAnswer answer;
    ssize_t got = -1;
    if (send_with_fds(fd_, &call, sizeof call, sent)) {
      do {
        pollfd waited{fd_, POLLIN, 0};
        poll(&waited, 1, ms_until(deadline_ns_));
        got = receive_with_fds(fd_, &answer, sizeof answer, fds);
      } while (got < 0 && (errno == EAGAIN || errno == EINTR) && ms_until(deadline_ns_) > 0);
    }
    if (got == sizeof answer && answer.magic == kCalibrationCallMagic &&
        answer.version == kCalibrationCallVersion) {
      return answer;
    }
    message = got >= 0 ? fmt::format("the data plane on {} is of another version", socket_path_)
                       : fmt::format("the data plane on {} does not answer in time", socket_path_);
    return fail(Error::kPlaneDown);
  }

  const std::string socket_path_;
  const uint64_t deadline_ns_;
  int fd_ = -1;
};

}  // namespace

ChunkKey calibration_key(const ChunkKey& fingerprint) {
  std::array<std::byte, sizeof kKeyLabel - 1 + sizeof(ChunkKey)> bytes;
  std::memcpy(bytes.data(), kKeyLabel, sizeof kKeyLabel - 1);
  std::memcpy(bytes.data() + sizeof kKeyLabel - 1, fingerprint.data(), fingerprint.size());
  ChunkKey key;
  SS_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(key.data()), nullptr,
                      EVP_sha256(), nullptr) == 1,
           "libcrypto has SHA-256");
  return key;
}

Result<void> publish_calibration(const PlaneEndpoint& plane, std::span<const std::byte> file,
                                 uint64_t deadline_ns, std::string& message) {
  if (plane.network()) {
    const auto answer = call_plane(plane, {CalibrationOp::kPublish, {}, file}, deadline_ns, message);
    if (!answer) return fail(answer.error());
    return {};
  }
  const auto sealed = SealedBytes::create("shadowserve-calibration", file);
  if (!sealed) {
    message = "no memory or descriptors left for the calibration";
    return fail(sealed.error());
  }
  CalibrationCall call;
  call.op = CalibrationOp::kPublish;
  call.bytes = static_cast<uint32_t>(file.size());
  const int fds[] = {sealed->fd()};
  ReceivedFds none;
  const auto answer = Caller(plane.address.path, deadline_ns).ask(call, fds, none, message);
  if (!answer) return fail(answer.error());
  return {};
}

Result<std::vector<std::byte>> fetch_calibration(const PlaneEndpoint& plane, const ChunkKey& fingerprint,
                                                 uint64_t deadline_ns, std::string& message) {
  if (plane.network())
    return call_plane(plane, {CalibrationOp::kFetch, fingerprint, {}}, deadline_ns, message);
  CalibrationCall call;
  std::memcpy(call.fingerprint, fingerprint.data(), fingerprint.size());
  ReceivedFds fds;
  const auto answer = Caller(plane.address.path, deadline_ns).ask(call, {}, fds, message);
  if (!answer) return fail(answer.error());
  const bool came = fds.count() == 1 && answer->bytes <= kLinkCalibrationBytesMax;
  const auto sealed = came ? SealedBytes::adopt(fds.take(0), answer->bytes) : fail(Error::kPlaneDown);
  auto file = sealed ? sealed->read() : fail(Error::kPlaneDown);
  if (!file) message = fmt::format("the data plane on {} sent no calibration", plane.text);
  return file;
}

}  // namespace shadowserve
