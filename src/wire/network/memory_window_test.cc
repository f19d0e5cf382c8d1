// Memory announced at the window: once, by its token, and not for longer than its engine wants.
#include "wire/network/memory_window.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "wire/unix_socket.h"

namespace shadowserve {
namespace {

class MemoryWindowTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string message;
    ASSERT_TRUE(desk.listen(path, message)) << message;
    region = std::move(*SharedRegion::create("window-test", 8192));
  }
  Result<WindowExport> announce() {
    std::string message;
    return WindowExport::announce(path, region, 8192, message);
  }
  std::string refusal(const WindowHandle& handle) {
    std::string message;
    const auto taken = desk.take(handle, message);
    if (taken) close(*taken);
    return taken ? "" : message;
  }
  const std::string path = "/tmp/ss-window-test-" + std::to_string(getpid()) + ".sock";
  WindowDesk desk;
  SharedRegion region;
};

TEST_F(MemoryWindowTest, BothSidesSeeTheSameMemory) {
  const auto window = announce();
  ASSERT_TRUE(window);
  std::string message;
  const auto fd = desk.take(window->handle(), message);
  ASSERT_TRUE(fd) << message;
  const auto mapped = SharedRegion::map(*fd, 8192);
  ASSERT_TRUE(mapped);
  mapped->data()[100] = std::byte{42};
  EXPECT_EQ(region.data()[100], std::byte{42});
}

TEST_F(MemoryWindowTest, ATokenWorksOnce) {
  const auto window = announce();
  EXPECT_EQ(refusal(window->handle()), "");
  EXPECT_NE(refusal(window->handle()).find("not announced"), std::string::npos);
}

TEST_F(MemoryWindowTest, AnotherTokenOrSizeFindsNothing) {
  const auto window = announce();
  WindowHandle wrong = window->handle();
  wrong.token[15] ^= std::byte{1};
  EXPECT_NE(refusal(wrong), "");
  wrong = window->handle();
  wrong.bytes += 4096;
  EXPECT_NE(refusal(wrong), "");
  EXPECT_EQ(refusal(window->handle()), "") << "negative control";
}

TEST_F(MemoryWindowTest, WhatIsWithdrawnIsForgotten) {
  WindowHandle handle;
  {
    const auto window = announce();
    handle = window->handle();
    desk.step();
    EXPECT_EQ(desk.waiting(), 1u);
  }
  desk.step();
  EXPECT_EQ(desk.waiting(), 0u);
  EXPECT_NE(refusal(handle), "");
}

TEST_F(MemoryWindowTest, StrangersFillNoMoreThanTheTable) {
  std::vector<int> silent;
  for (uint32_t i = 0; i < kNetworkPeersMax + 4; ++i) {
    if (const auto fd = connect_unix(path, SOCK_SEQPACKET)) silent.push_back(*fd);
    desk.step();
  }
  for (const int fd : silent) {
    send(fd, "nonsense", 8, MSG_NOSIGNAL);
    close(fd);
  }
  desk.step();
  EXPECT_EQ(desk.waiting(), 0u);
  const auto window = announce();
  ASSERT_TRUE(window);
  EXPECT_EQ(refusal(window->handle()), "");
}

TEST_F(MemoryWindowTest, WithoutAWindowThePlaneSaysHowToHaveOne) {
  WindowDesk closed;
  std::string message;
  EXPECT_FALSE(closed.take({{}, 4096}, message));
  EXPECT_NE(message.find("--window"), std::string::npos);
  EXPECT_FALSE(WindowExport::announce("/tmp/ss-no-window.sock", region, 8192, message));
}

}  // namespace
}  // namespace shadowserve
