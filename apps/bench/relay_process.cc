// Starts a relay and reads from what it prints that it is ready.
#include "bench/relay_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>

#include "command.h"

namespace shadowserve {
namespace {

constexpr int kPatienceMs = 10'000;

/// What comes until there is a line with "ready", or nothing more.
std::string hear(int fd) {
  std::string said;
  std::array<char, 512> some;
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  while (said.find("ready;") == std::string::npos && ::poll(&entry, 1, kPatienceMs) == 1) {
    const ssize_t got = read(fd, some.data(), some.size());
    if (got <= 0) break;
    said.append(some.data(), static_cast<size_t>(got));
  }
  return said;
}

}  // namespace

RelayProcess::RelayProcess(const StoreServer& to) {
  const std::string target = fmt::format("--to=redis://{}", to.name());
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw StartError("no descriptors for a relay");
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execl("/proc/self/exe", "shadowserve", "relay", "--listen=127.0.0.1:0", target.c_str(), nullptr);
    _exit(127);
  }
  ::close(ends[1]);
  const std::string said = hear(ends[0]);
  ::close(ends[0]);  // it says one line more when it ends, to nobody: SIGPIPE is ignored there
  const size_t at = said.find("port ");
  if (at != std::string::npos) std::from_chars(said.data() + at + 5, said.data() + said.size(), port_);
  if (port_ == 0) throw StartError("no relay for --receive ucx: " + said);
}

RelayProcess::~RelayProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace shadowserve
