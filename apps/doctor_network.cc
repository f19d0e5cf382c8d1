// Doctor's look at the link across machines: certificates, the address, and whether a data plane answers
// there.
#include <fmt/format.h>

#include "command.h"
#include "doctor.h"
#include "wire/calibration_call.h"

namespace shadowserve {
namespace {

constexpr uint64_t kPatienceNs = 2'000 * kNsPerMs;
constexpr const char* kSubject = "link";

TlsFiles files_of(const Settings& settings) {
  return {settings.text("tls_certificate"), settings.text("tls_key"), settings.text("tls_ca")};
}

Finding examine_listen(const Settings& settings) {
  const std::string& listen = settings.text("listen");
  std::string message;
  const auto address = parse_plane_address(listen, message);
  if (!address || !address->network()) {
    return {Finding::kFail, kSubject, fmt::format("listen is \"{}\" ({})", listen, settings.origin("listen")),
            "use tls://HOST:PORT, like tls://0.0.0.0:7601"};
  }
  if (!TlsIdentity::load(files_of(settings), TlsSide::kPlane, message)) {
    return {Finding::kFail, kSubject, message, "see docs/smartnic.md"};
  }
  if (settings.text("window").empty()) {
    return {Finding::kWarn, kSubject, fmt::format("{}: certificates are good; there is no window", listen),
            "engines can look up, but not fetch: --window PATH"};
  }
  return {Finding::kOk, kSubject, fmt::format("{}: certificates are good", listen), ""};
}

/// Asks for a calibration that cannot exist: "no" is the answer of a healthy data plane.
Finding examine_far_plane(const Settings& settings) {
  const std::string& address = settings.text("socket");
  std::string message;
  const auto plane = find_plane(address, files_of(settings), settings.text("tls_name"), {}, message);
  if (!plane) return {Finding::kFail, kSubject, message, "see docs/smartnic.md"};
  const MonotonicClock clock;
  const uint64_t began_ns = clock.now_ns();
  const auto answer = fetch_calibration(*plane, {}, began_ns + kPatienceNs, message);
  if (answer || answer.error() == Error::kMiss) {
    return {Finding::kOk, kSubject,
            fmt::format("the data plane at {} answers: {:.0f} ms with the handshake", address,
                        static_cast<double>(clock.now_ns() - began_ns) * 1e-6),
            ""};
  }
  return {Finding::kFail, kSubject, message,
          "is it running with --listen, and are both sides' certificates of one CA?"};
}

}  // namespace

std::vector<Finding> examine_network(const Settings& settings) {
  std::vector<Finding> findings;
  if (!settings.text("listen").empty()) findings.push_back(examine_listen(settings));
  if (settings.text("socket").starts_with(kTlsScheme)) findings.push_back(examine_far_plane(settings));
  return findings;
}

}  // namespace shadowserve
