// What only the stream on io_uring promises: few calls into the kernel, and a clear word where it is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <thread>

#include "world/receive_choice.h"
#include "world/ring_stream.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

using testing::HasSubstr;

class RingStreamTest : public testing::TestWithParam<IoUringMode>, protected Meeting<IoUringStream> {
 protected:
  void SetUp() override {
    std::string why;
    auto made = IoUringStream::create(GetParam(), why);
    if (!made) GTEST_SKIP() << why;
    stream_ = std::move(*made);
  }
  Result<size_t> look() {
    const iovec part{into_.data(), into_.size()};
    return stream_->readv({&part, 1});
  }
  size_t send_kept(std::string_view text) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    return stream_->writev({&part, 1}).value_or(0);
  }
  std::array<std::byte, 4096> into_{};
};

TEST_P(RingStreamTest, AnIdleTurnCallsNobody) {
  meet();
  ASSERT_EQ(look(), size_t{0});
  const uint64_t before = stream_->kernel_calls();
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(look(), size_t{0});
  EXPECT_EQ(stream_->kernel_calls(), before);
  // The negative control: with bytes there it does call, once for each time that they came.
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_EQ(write(peer_, "hello", 5), 5);
    Result<size_t> got = size_t{0};
    for (int looks = 0; looks < 1'000'000 && got == size_t{0}; ++looks) got = look();
    ASSERT_EQ(got, size_t{5});
    EXPECT_GE(stream_->kernel_calls(), before + i);
    EXPECT_LE(stream_->kernel_calls(), before + 2 * i) << "one, or one more in vain";
  }
}

TEST_P(RingStreamTest, AQuestionAndALookAreOneCall) {
  meet();
  ASSERT_EQ(look(), size_t{0});
  for (int i = 0; i < 10; ++i) {
    const uint64_t before = stream_->kernel_calls();
    const std::string question = "*1\r\n$4\r\nPING\r\n";
    const iovec part{const_cast<char*>(question.data()), question.size()};
    ASSERT_EQ(stream_->writev({&part, 1}), question.size());
    pollfd entry{.fd = peer_, .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&entry, 1, 1), 0) << "kept, to go with the next readv()";
    ASSERT_TRUE(look());
    EXPECT_EQ(stream_->kernel_calls(), before + 1);
    EXPECT_EQ(::poll(&entry, 1, 1000), 1);
    char heard[64];
    EXPECT_EQ(read(peer_, heard, sizeof(heard)), static_cast<ssize_t>(question.size()));
  }
}

TEST_P(RingStreamTest, WaitsForRoomWithoutAsking) {
  meet();
  std::vector<std::byte> large(1 << 20);
  const iovec part{large.data(), large.size()};
  Result<size_t> sent = large.size();
  for (int i = 0; i < 100 && sent && *sent > 0; ++i) sent = stream_->writev({&part, 1});
  ASSERT_EQ(sent, size_t{0});
  EXPECT_TRUE(stream_->wants_output());
  const uint64_t before = stream_->kernel_calls();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(stream_->writev({&part, 1}), size_t{0});
  EXPECT_EQ(stream_->kernel_calls(), before);
  for (int i = 0; i < 100'000 && sent == size_t{0};
       ++i) {  // the negative control: with room it asks, and goes on
    ASSERT_GE(recv(peer_, large.data(), large.size(), MSG_DONTWAIT), -1);
    sent = stream_->writev({&part, 1});
  }
  EXPECT_GT(sent.value_or(0), 0u);
  EXPECT_GT(stream_->kernel_calls(), before);
}

TEST_P(RingStreamTest, ReadsIntoRegisteredMemoryWhereTheLimitAllowsIt) {
  std::vector<std::byte> memory(1 << 16);
  stream_->use_memory(memory);
  if (!stream_->has_registered_memory()) {
    GTEST_SKIP() << "before Linux 6.5, or the limit on locked memory is too low: ulimit -l";
  }
  meet();
  ASSERT_EQ(write(peer_, "0123456789", 10), 10);
  const iovec parts[2] = {{memory.data() + 100, 4}, {into_.data(), into_.size()}};
  Result<size_t> got = size_t{0};
  for (int i = 0; i < 1000 && got == size_t{0}; ++i) got = stream_->readv(parts), usleep(100);
  ASSERT_EQ(got, size_t{10});
  EXPECT_EQ(memory[99], std::byte{0});
  EXPECT_EQ(memory[100], std::byte{'0'});
  EXPECT_EQ(memory[104], std::byte{0});
  EXPECT_EQ(into_[0], std::byte{'4'});
}

TEST(RingStream, KnowsWhatCannotBeReadWithoutWaiting) {
  const int notices = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(notices, 0);
  EXPECT_FALSE(can_read_without_waiting(notices)) << "as sockets before Linux 6.5";
  ::close(notices);
  utsname kernel{};
  uname(&kernel);
  int major = 0, minor = 0;
  sscanf(kernel.release, "%d.%d", &major, &minor);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(can_read_without_waiting(socket), major > 6 || (major == 6 && minor >= 5));
  ::close(socket);
}

// A thread that sleeps on the stream as the seam says has to learn of room for what writev() kept.
TEST_P(RingStreamTest, WhatWasKeptLeavesWhenThereIsRoom) {
  meet();
  const int small = 16 << 10;
  setsockopt(stream_->fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  // Past the stream, so that it finds no room for the first thing that it is given.
  const std::vector<std::byte> filling(1 << 16);
  for (int quiet = 0; quiet < 10; usleep(1000)) {
    quiet = send(stream_->fd(), filling.data(), filling.size(), MSG_DONTWAIT) > 0 ? 0 : quiet + 1;
  }
  ASSERT_EQ(send_kept("question"), 8u);
  ASSERT_EQ(look(), size_t{0});
  ASSERT_TRUE(stream_->wants_output()) << "the test has to bring about what it tests";
  std::string heard;
  std::array<char, 1 << 16> some;
  for (int turn = 0; turn < 2000 && !heard.ends_with("question"); ++turn) {
    const ssize_t got = recv(peer_, some.data(), some.size(), MSG_DONTWAIT);
    if (got > 0) heard.assign(some.data(), static_cast<size_t>(got));
    const auto wanted = static_cast<short>(POLLIN | (stream_->wants_output() ? POLLOUT : 0));
    pollfd entry{.fd = stream_->fd(), .events = wanted, .revents = 0};
    if (::poll(&entry, 1, 1) > 0) ASSERT_EQ(look(), size_t{0});  // woken, and only then
  }
  EXPECT_TRUE(heard.ends_with("question"));
}

TEST_P(RingStreamTest, AnotherThreadMayDestroyIt) {
  std::thread([this] {
    meet();
    ASSERT_EQ(look(), size_t{0});
  }).join();
  stream_.reset();
  pollfd entry{.fd = peer_, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&entry, 1, 1000), 1);
  char byte;
  EXPECT_EQ(read(peer_, &byte, 1), 0);
}

// What must not happen ends in failed operations, which the engine computes, and in nothing worse.
TEST(RingStream, OnTheWrongThreadFailsAndGoesOnFailing) {
  std::string why;
  auto made = IoUringStream::create(IoUringMode::kDeferred, why);
  if (!made) GTEST_SKIP() << why;
  IoUringStream& stream = **made;
  Listener listener;
  std::thread([&] {
    ASSERT_TRUE(stream.connect(listener.address()));
    ASSERT_TRUE(become_ready(stream));
  }).join();
  char byte;
  const iovec part{&byte, 1};
  EXPECT_FALSE(stream.readv({&part, 1}));
  EXPECT_EQ(stream.why(), EEXIST);
  stream.close();
  EXPECT_FALSE(stream.connect(listener.address()));
}

INSTANTIATE_TEST_SUITE_P(Modes, RingStreamTest,
                         testing::Values(IoUringMode::kDeferred, IoUringMode::kCooperative,
                                         IoUringMode::kPlain),
                         [](const auto& info) -> std::string {
                           return info.param == IoUringMode::kDeferred      ? "deferred"
                                  : info.param == IoUringMode::kCooperative ? "cooperative"
                                                                            : "plain";
                         });

/// What choose_receive("io_uring") says in a child that a seccomp filter keeps from io_uring, as containers
/// do.
std::string choice_where_refused(int error) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    std::array<sock_filter, 4> program = {
        {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::string said = "no seccomp here";
    if (error == 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0) {
      const ReceiveChoice choice = choose_receive(kReceiveIoUring);
      said = std::string(choice.name) + "|" + choice.warning;
      if (dynamic_cast<TcpStream*>(choice.make_stream().get()) != nullptr) said += "|tcp";
    }
    [[maybe_unused]] const ssize_t wrote = write(ends[1], said.data(), said.size());
    _exit(0);
  }
  ::close(ends[1]);
  std::string said(1000, '\0');
  const ssize_t got = read(ends[0], said.data(), said.size());
  said.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  ::close(ends[0]);
  waitpid(child, nullptr, 0);
  return said;
}

TEST(ReceiveChoice, FallsBackToSocketsAndSaysWhatHelps) {
  const std::string allowed = choice_where_refused(0);
  if (!allowed.starts_with("io_uring|")) GTEST_SKIP() << allowed;
  EXPECT_EQ(allowed, "io_uring|") << "the negative control: nothing to say where nothing is refused";
  const std::string refused = choice_where_refused(EPERM);
  if (refused == "no seccomp here") GTEST_SKIP() << refused;
  EXPECT_THAT(refused, HasSubstr("sockets|"));
  EXPECT_THAT(refused, HasSubstr("forbids io_uring"));
  EXPECT_THAT(refused, HasSubstr("seccomp profile that allows io_uring_setup"));
  EXPECT_THAT(refused, HasSubstr("|tcp"));
  EXPECT_THAT(choice_where_refused(ENOSYS), HasSubstr("Linux 5.13 or later"));
}

TEST(ReceiveChoice, SocketsNeedNoWord) {
  const ReceiveChoice choice = choose_receive(kReceiveSockets);
  EXPECT_EQ(choice.name, kReceiveSockets);
  EXPECT_EQ(choice.warning, "");
}

}  // namespace
}  // namespace shadowserve
