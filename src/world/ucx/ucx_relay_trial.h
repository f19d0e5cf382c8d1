// Test support: a relay on a thread of its own, and a stream that goes to any listener by way of one.
#pragma once

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "world/ucx/stream_ucx.h"
#include "world/ucx/ucx_relay.h"

namespace shadowserve {

inline StreamAddress loopback_address(uint16_t port) {
  std::string message;
  return resolve_stream("127.0.0.1", port, message).value().front();
}

/// Serves from construction to destruction. `port` 0: a free one. `why` says what went wrong.
class RelayThread {
 public:
  explicit RelayThread(std::vector<StreamAddress> to, uint16_t port = 0, uint32_t connections_max = 256) {
    UcxRelayOptions options;
    options.listen = loopback_address(port);
    options.to = std::move(to);
    options.connections_max = connections_max;
    auto made = UcxRelay::create(options, why);
    for (int i = 0; i < 100 && !made && port != 0; ++i) {  // it is a moment ago that another one had the port
      usleep(50'000);
      made = UcxRelay::create(options, why);
    }
    if (!made) return;
    relay_ = std::move(*made);
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { relay_->serve(stop_fd_); });
  }
  ~RelayThread() {
    if (!thread_.joinable()) return;
    eventfd_write(stop_fd_, 1);
    thread_.join();
    relay_.reset();
    ::close(stop_fd_);
  }
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;

  bool there() const { return relay_ != nullptr; }
  uint16_t port() const { return relay_->port(); }
  UcxRelay& relay() { return *relay_; }
  StreamAddress address() const { return loopback_address(port()); }
  std::string why;

 private:
  std::unique_ptr<UcxRelay> relay_;
  int stop_fd_ = -1;
  std::thread thread_;
};

/// connect() to a listener starts a relay to it, once for each address; allocates there and nowhere else.
class RelayedStream final : public Stream {
 public:
  explicit RelayedStream(std::unique_ptr<Stream> inner) : inner_(std::move(inner)) {}
  Result<void> connect(const StreamAddress& to) override {
    const auto& address = reinterpret_cast<const sockaddr_in&>(to.address);
    auto& relay = relays_[address.sin_port];
    if (relay == nullptr) relay = std::make_unique<RelayThread>(std::vector<StreamAddress>{to});
    return inner_->connect(relay->address());
  }
  Result<bool> ready() override { return inner_->ready(); }
  Result<size_t> readv(std::span<const iovec> into) override { return inner_->readv(into); }
  Result<size_t> writev(std::span<const iovec> from) override { return inner_->writev(from); }
  Result<void> flush() override { return inner_->flush(); }
  int fd() const override { return inner_->fd(); }
  bool wants_output() const override { return inner_->wants_output(); }
  bool has_input() const override { return inner_->has_input(); }
  void close() override { inner_->close(); }
  void use_memory(std::span<std::byte> memory) override { inner_->use_memory(memory); }
  int why() const override { return inner_->why(); }

 private:
  std::map<uint16_t, std::unique_ptr<RelayThread>> relays_;
  std::unique_ptr<Stream> inner_;  // goes first
};

}  // namespace shadowserve
