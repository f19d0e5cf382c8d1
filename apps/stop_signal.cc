// Ctrl-C for commands that run until they are stopped.
#include <signal.h>
#include <sys/signalfd.h>

#include "command.h"

namespace shadowserve {

int make_stop_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const int fd = sigprocmask(SIG_BLOCK, &signals, nullptr) == 0
                     ? signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)
                     : -1;
  if (fd < 0) throw StartError("cannot listen for signals (signalfd)");
  return fd;
}

}  // namespace shadowserve
