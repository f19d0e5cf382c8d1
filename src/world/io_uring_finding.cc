// Asks the kernel for a ring, and puts its answer into words.
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "world/ring_stream.h"

namespace shadowserve {
namespace {

const char* mode_words(IoUringMode mode) {
  switch (mode) {
    case IoUringMode::kDeferred:
      return "io_uring with deferred task work";
    case IoUringMode::kCooperative:
      return "io_uring with cooperative task work (deferred needs Linux 6.1)";
    case IoUringMode::kPlain:
      return "io_uring without deferred task work (needs Linux 6.1)";
  }
  return "";
}

/// "0": everybody may; "1": only a group; "2": nobody. Empty where the kernel has no such switch.
std::string io_uring_switch() {
  std::string value;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
  return value;
}

void explain(int code, IoUringFinding& finding) {
  utsname kernel{};
  uname(&kernel);
  if (code == EPERM && (io_uring_switch() == "1" || io_uring_switch() == "2")) {
    finding.found =
        "io_uring is switched off on this machine (kernel.io_uring_disabled=" + io_uring_switch() + ")";
    finding.remedy = "sysctl kernel.io_uring_disabled=0, or stay with --receive sockets";
  } else if (code == EPERM || code == EACCES) {
    finding.found = "this container or sandbox forbids io_uring";
    finding.remedy =
        "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register (docker run "
        "--security-opt seccomp=PROFILE.json), or stay with --receive sockets";
  } else if (code == ENOSYS) {
    finding.found = std::string("no io_uring in kernel ") + kernel.release + ", or a sandbox hides it";
    finding.remedy = "Linux 5.13 or later, best 6.1, or stay with --receive sockets";
  } else {
    finding.found = std::string("the kernel gives no io_uring: ") + std::strerror(code);
    finding.remedy = code == ENOMEM
                         ? "raise the limit on locked memory (ulimit -l), or stay with --receive sockets"
                         : "stay with --receive sockets";
  }
}

}  // namespace

IoUringFinding find_io_uring() {
  IoUringFinding finding;
  int code = 0;
  for (const IoUringMode mode : {IoUringMode::kDeferred, IoUringMode::kCooperative, IoUringMode::kPlain}) {
    if (RingStream::create(mode) != nullptr) return {true, mode, mode_words(mode), ""};
    code = errno;
    if (code != EINVAL) break;  // a flag that this kernel does not know
  }
  explain(code, finding);
  return finding;
}

Result<std::unique_ptr<IoUringStream>> IoUringStream::create(IoUringMode mode, std::string& message) {
  std::unique_ptr<IoUringStream> stream = RingStream::create(mode);
  if (stream != nullptr) return stream;
  IoUringFinding finding;
  explain(errno, finding);
  message = finding.found + ": " + finding.remedy;
  return fail(Error::kSystem);
}

}  // namespace shadowserve
