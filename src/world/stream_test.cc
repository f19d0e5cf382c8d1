// TCP over loopback, and its faulty twin.
#include "world/stream.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "world/stream_faulty.h"

namespace shadowserve {
namespace {

/// Listens on a free port of the loopback interface.
class Listener {
 public:
  Listener() {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    listen(fd_, 4);
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(fd_); }
  uint16_t port() const { return port_; }
  int accept() const { return ::accept(fd_, nullptr, nullptr); }

 private:
  int fd_;
  uint16_t port_;
};

StreamAddress loopback(uint16_t port) {
  std::string message;
  return resolve_stream("127.0.0.1", port, message).value().front();
}

bool become_ready(Stream& stream) {
  for (int i = 0; i < 1000; ++i) {
    const Result<bool> ready = stream.ready();
    if (!ready) return false;
    if (*ready) return true;
    usleep(1000);
  }
  return false;
}

Result<size_t> send(Stream& stream, std::string_view text) {
  const iovec part{const_cast<char*>(text.data()), text.size()};
  return stream.writev({&part, 1});
}

Result<size_t> receive(Stream& stream, std::string& out) {
  std::array<char, 100> one;
  std::array<char, 5> other;
  const std::array<iovec, 2> parts = {{{other.data(), other.size()}, {one.data(), one.size()}}};
  const Result<size_t> got = stream.readv(parts);
  if (got) {
    out.append(other.data(), std::min<size_t>(*got, 5));
    if (*got > 5) out.append(one.data(), *got - 5);
  }
  return got;
}

TEST(TcpStream, MovesBytesBothWaysAndEnds) {
  Listener listener;
  TcpStream stream;
  EXPECT_EQ(stream.fd(), -1);
  ASSERT_TRUE(stream.connect(loopback(listener.port())));
  ASSERT_TRUE(become_ready(stream));
  const int peer = listener.accept();
  std::string text;
  EXPECT_EQ(receive(stream, text), size_t{0}) << "nothing there, and no waiting";
  EXPECT_EQ(send(stream, "hello"), size_t{5});
  char heard[5];
  ASSERT_EQ(read(peer, heard, 5), 5);
  ASSERT_EQ(write(peer, "hello, too", 10), 10);
  while (text.size() < 10) ASSERT_TRUE(receive(stream, text));
  EXPECT_EQ(text, "hello, too");
  ::close(peer);
  Result<size_t> got = size_t{0};
  for (int i = 0; i < 1000 && got; ++i) got = receive(stream, text), usleep(1000);
  ASSERT_FALSE(got);
  EXPECT_EQ(stream.why(), 0);
  for (int i = 0; i < 1000 && send(stream, "into the void"); ++i) usleep(1000);  // EPIPE, not a signal
  EXPECT_FALSE(send(stream, "x"));
}

TEST(TcpStream, MayConnectAgain) {
  Listener listener;
  TcpStream stream;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream.connect(loopback(listener.port())));
    ASSERT_TRUE(become_ready(stream));
    stream.close();
  }
}

TEST(TcpStream, SaysThatNobodyListens) {
  uint16_t port;
  { port = Listener().port(); }
  TcpStream stream;
  const bool started = stream.connect(loopback(port)).has_value();
  EXPECT_FALSE(started && become_ready(stream));
  EXPECT_EQ(stream.why(), ECONNREFUSED);
}

TEST(FaultyStream, DoesWhatTheSeedSays) {
  Listener listener;
  FaultyStream stream(
      std::make_unique<TcpStream>(),
      {.seed = 5, .transfer_bytes_max = 3, .stall = 0.3, .reset_after_bytes = 200, .refused_connects = 2});
  EXPECT_FALSE(stream.connect(loopback(listener.port())));
  EXPECT_FALSE(stream.connect(loopback(listener.port())));
  EXPECT_EQ(stream.why(), ECONNREFUSED);
  ASSERT_TRUE(stream.connect(loopback(listener.port())));
  ASSERT_TRUE(become_ready(stream));
  size_t stalls = 0, bytes = 0;
  Result<size_t> sent = size_t{0};
  while ((sent = send(stream, "0123456789"))) {
    EXPECT_LE(*sent, 3u);
    stalls += *sent == 0 ? 1 : 0;
    bytes += *sent;
  }
  EXPECT_EQ(stream.why(), ECONNRESET);
  EXPECT_GT(stalls, 0u);
  EXPECT_LE(bytes, 400u);
}

TEST(Resolve, FindsAddressesAndSaysWhatIsWrong) {
  std::string message;
  EXPECT_TRUE(resolve_stream("localhost", 1, message));
  EXPECT_FALSE(resolve_stream("no-such-host.invalid", 1, message));
  EXPECT_NE(message.find("no-such-host.invalid"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
