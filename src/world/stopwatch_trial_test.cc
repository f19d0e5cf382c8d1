// The clock by which tests judge: it forgives what the machine takes, and no waiting of our own.
#include "world/stopwatch_trial.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace shadowserve {
namespace {

using std::chrono::milliseconds;

/// Another process stops this one for a while, as a host does with a machine.
void stand_still(milliseconds how_long) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    kill(parent, SIGSTOP);
    usleep(static_cast<useconds_t>(how_long.count()) * 1000);
    kill(parent, SIGCONT);
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
}

TEST(StopwatchTrial, ForgivesTimeThatTheMachineTook) {
  const Stopwatch took;
  stand_still(milliseconds(400));
  EXPECT_LT(took.elapsed(), milliseconds(300));
}

TEST(StopwatchTrial, CountsWaitingInFull) {  // the negative control
  // A machine that takes the core away just now makes the time shorter, once.
  std::chrono::nanoseconds longest{0};
  for (int i = 0; i < 5 && longest < milliseconds(195); ++i) {
    const Stopwatch took;
    usleep(200'000);
    longest = std::max(longest, took.elapsed());
  }
  EXPECT_GE(longest, milliseconds(195));
}

TEST(StopwatchTrial, CountsWorkInFull) {
  std::chrono::nanoseconds longest{0};
  for (int i = 0; i < 5 && longest < milliseconds(80); ++i) {
    const Stopwatch took;
    const auto until = Stopwatch::Clock::now() + milliseconds(100);
    while (Stopwatch::Clock::now() < until) {
    }
    longest = std::max(longest, took.elapsed());
  }
  EXPECT_GE(longest, milliseconds(80));
}

}  // namespace
}  // namespace shadowserve
