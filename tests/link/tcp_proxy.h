// Test only: a TCP proxy on loopback that can be cut without closing, slowed down, and told to damage a byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <list>
#include <thread>

namespace shadowserve {

class TcpProxy {
 public:
  explicit TcpProxy(uint16_t to_port)
      : to_port_(to_port), listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~TcpProxy() {
    stop_ = true;
    thread_.join();
    close(listener_);
  }
  uint16_t port() const { return port_; }

  /// Nothing passes and nothing is closed, as with a pulled cable.
  std::atomic<bool> cut{false};
  /// Each way; 0: as fast as it goes.
  std::atomic<uint64_t> bytes_per_s{0};
  /// Flips a bit of the next byte that goes to the engine.
  std::atomic<bool> damage{false};
  std::atomic<uint64_t> passed{0}, connections{0};

 private:
  using Instant = std::chrono::steady_clock::time_point;
  struct Way {
    int from, to;
    bool to_engine;
    std::array<char, 4096> bytes;
    size_t first = 0, end = 0;
    Instant next{};
  };
  struct Pair {
    int engine, plane;
    std::array<Way, 2> ways;
    bool over = false;
  };

  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void run() {
    while (!stop_) {
      bool busy = false;
      if (!cut) {
        accept_one();
        for (Pair& pair : pairs_) {
          for (Way& way : pair.ways) busy |= move(pair, way);
        }
        pairs_.remove_if([](const Pair& pair) {
          return pair.over ? (close(pair.engine), close(pair.plane), true) : false;
        });
      }
      if (!busy) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    for (const Pair& pair : pairs_) close(pair.engine), close(pair.plane);
  }

  void accept_one() {
    const int engine = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (engine < 0) return;
    const int plane = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(to_port_);
    if (connect(plane, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      close(engine), close(plane);
      return;
    }
    // Little may lie here: a slow link is to be felt at its ends.
    const int small = 8192, one = 1;
    for (const int fd : {engine, plane}) {
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    ++connections;
    pairs_.push_back({engine, plane, {Way{engine, plane, false, {}}, Way{plane, engine, true, {}}}});
  }

  bool move(Pair& pair, Way& way) {
    if (pair.over) return false;
    const Instant now = std::chrono::steady_clock::now();
    if (way.first == way.end) {
      const uint64_t rate = bytes_per_s;
      if (rate > 0 && now < way.next) return false;
      const size_t most = rate > 0 ? std::min<size_t>(way.bytes.size(), 1500) : way.bytes.size();
      const ssize_t got = recv(way.from, way.bytes.data(), most, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) pair.over = true;
      if (got <= 0) return false;
      way.first = 0;
      way.end = static_cast<size_t>(got);
      if (rate > 0)
        way.next = now + std::chrono::nanoseconds(1'000'000'000 * static_cast<uint64_t>(got) / rate);
      if (way.to_engine && damage.exchange(false)) way.bytes[way.end / 2] ^= 1;
    }
    const ssize_t sent =
        send(way.to, way.bytes.data() + way.first, way.end - way.first, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) pair.over = true;
    if (sent <= 0) return false;
    way.first += static_cast<size_t>(sent);
    passed += static_cast<uint64_t>(sent);
    return true;
  }

  uint16_t to_port_;
  int listener_;
  uint16_t port_ = 0;
  std::list<Pair> pairs_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace shadowserve
