// Listens, and gives each connection a thread.
#include "world/ucx/ucx_relay.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>

#include "world/ucx/ucx_guest.h"

namespace shadowserve {
namespace {

class ListeningRelay final : public UcxRelay {
 public:
  ListeningRelay(std::shared_ptr<const UcxContext> context, const UcxRelayOptions& options)
      : context_(std::move(context)), options_(options) {}
  ~ListeningRelay() override;
  ListeningRelay(const ListeningRelay&) = delete;
  ListeningRelay& operator=(const ListeningRelay&) = delete;

  /// errno, 0: it listens.
  int listen();
  void serve(int stop_fd) override;
  uint16_t port() const override { return port_; }
  std::string describe() const override {
    return std::string("UCX ") + context_->calls().get_version_string();
  }
  UcxRelayCounts counts() const override;

 private:
  void admit();

  std::shared_ptr<const UcxContext> context_;
  const UcxRelayOptions options_;
  int listen_fd_ = -1, quit_fd_ = -1;
  uint16_t port_ = 0;
  UcxRelayTallies tallies_;
  std::list<UcxGuest> guests_;
};

ListeningRelay::~ListeningRelay() {
  if (quit_fd_ >= 0) eventfd_write(quit_fd_, 1);
  guests_.clear();
  if (listen_fd_ >= 0) close(listen_fd_);
  if (quit_fd_ >= 0) close(quit_fd_);
}

int ListeningRelay::listen() {
  const auto* address = reinterpret_cast<const sockaddr*>(&options_.listen.address);
  quit_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  listen_fd_ = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (quit_fd_ < 0 || listen_fd_ < 0) return errno;
  const int on = 1;
  setsockopt(listen_fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listen_fd_, address, options_.listen.size) != 0 || ::listen(listen_fd_, 64) != 0) return errno;
  sockaddr_storage found{};
  socklen_t size = sizeof(found);
  if (getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&found), &size) != 0) return errno;
  port_ = ntohs(found.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(found).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(found).sin_port);
  return 0;
}

void ListeningRelay::admit() {
  const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) usleep(100'000);  // it stays readable: others must end first
    return;
  }
  if (guests_.size() >= options_.connections_max) {
    ++tallies_.refused;
    close(fd);
    return;
  }
  ++tallies_.accepted;
  guests_.emplace_back(context_, fd, options_, quit_fd_, tallies_);
}

void ListeningRelay::serve(int stop_fd) {
  for (;;) {
    std::array<pollfd, 2> entries = {{{stop_fd, POLLIN, 0}, {listen_fd_, POLLIN, 0}}};
    ::poll(entries.data(), entries.size(), 500);
    if (entries[0].revents != 0) return;
    guests_.remove_if([](const UcxGuest& guest) { return guest.done(); });
    if (entries[1].revents != 0) admit();
  }
}

UcxRelayCounts ListeningRelay::counts() const {
  return {tallies_.open,   tallies_.accepted, tallies_.refused,
          tallies_.failed, tallies_.bytes_in, tallies_.bytes_out};
}

}  // namespace

Result<std::unique_ptr<UcxRelay>> UcxRelay::create(const UcxRelayOptions& options, std::string& message) {
  std::string why;
  auto context = UcxContext::create(false, why);
  if (context == nullptr) {
    message = why + ": a relay needs it; install libucx0 (UCX 1.10 or later)";
    return fail(Error::kSystem);
  }
  auto relay = std::make_unique<ListeningRelay>(std::move(context), options);
  const int code = relay->listen();
  if (code == 0) return relay;
  message = std::string("cannot listen there: ") + std::strerror(code);
  return fail(Error::kSystem);
}

}  // namespace shadowserve
