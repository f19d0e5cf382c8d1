// Test only: a data plane's end of the link with a store in memory, that can also misbehave in every way.
#pragma once

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "chunk/kv_geometry.h"
#include "contract/check.h"
#include "memory/shared_region.h"
#include "wire/link_message.h"
#include "wire/sealed_bytes.h"
#include "wire/unix_socket.h"

namespace shadowserve {

/// Steps by hand on the test's thread, or on its own with start(). Settings and store under one mutex.
class FakePlane {
 public:
  explicit FakePlane(std::string name = "plane")
      : path_("/tmp/ss-control-test-" + std::to_string(getpid()) + "-" + name + ".sock") {
    setenv("SHADOWSERVE_LOG", "off", 0);
    listen();
  }
  ~FakePlane() {
    stop();
    die();
  }

  const std::string& path() const { return path_; }

  struct Session {
    int fd = -1, plane_bell = -1, client_bell = -1;
    LinkHello hello;
    SharedRegion rings, staging;
    std::vector<std::byte> calibration;
    RequestRing requests;
    ReplyRing replies;
    void answer(const LinkReply& reply) {
      SS_CHECK(replies.push(reply), "the client has no more in flight than the ring holds");
      const uint64_t one = 1;
      if (replies.must_ring()) SS_CHECK(write(client_bell, &one, 8) == 8, "a doorbell takes a ring");
    }
    ~Session() {
      for (int each : {fd, plane_bell, client_bell}) {
        if (each >= 0) close(each);
      }
    }
  };

  // ---- settings; change them while stepping by hand, or with lock()
  bool greet = true;          ///< answer the hello
  bool read_requests = true;  ///< take requests off the ring
  bool hold = false;          ///< take requests, but keep them in `held`
  uint32_t ring_entries = 256;
  uint8_t refuse = 0;                                           ///< Error of the welcome
  std::function<void(LinkReply&, const LinkRequest&)> distort;  ///< changes every reply
  std::map<std::pair<ChunkKey, uint32_t>, std::vector<std::byte>> store;
  /// As saved. A fetch that says another index gets kRecordMalformed, as from a real plane.
  std::map<std::pair<ChunkKey, uint32_t>, uint32_t> chunk_indices;
  std::vector<std::pair<ChunkKey, uint32_t>> saved_order;
  struct Held : LinkRequest {
    Session* session = nullptr;
  };
  std::vector<Held> held;
  std::vector<std::unique_ptr<Session>> sessions;  ///< oldest first; those of clients that left stay, stuck
  uint64_t asked = 0;
  size_t held_most = 0;
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

  /// Accepts, and answers everything that waits; true when something was done.
  bool step() {
    const auto guard = lock();
    bool busy = accept_one();
    if (!read_requests) return busy;
    for (const auto& session : sessions) {
      Held request;
      while (session->requests.pop(request)) {
        busy = true;
        ++asked;
        request.session = session.get();
        held.push_back(request);
        held_most = std::max(held_most, held.size());
        if (!hold) release_held();
      }
    }
    return busy;
  }
  /// Answers what was held.
  void release_held() {
    for (const Held& request : std::exchange(held, {})) answer(*request.session, request);
  }
  void answer(Session& session, const LinkRequest& request) {
    LinkReply reply = work(session, request);
    if (distort) distort(reply, request);
    session.answer(reply);
  }

  /// The process is gone: sockets closed, nothing answered any more.
  void die() {
    if (listener_ >= 0) close(listener_);
    listener_ = -1;
    unlink(path_.c_str());
    sessions.clear();
    held.clear();
  }
  void come_back() { listen(); }

  void start() {
    running_ = true;
    thread_ = std::thread([this] {
      while (running_) {
        if (!step()) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    });
  }
  void stop() {
    running_ = false;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void listen() {
    unlink(path_.c_str());
    listener_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    SS_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "the path is free");
    SS_CHECK(::listen(listener_, 8) == 0, "a bound socket listens");
  }

  bool accept_one() {
    if (pending_ < 0 && listener_ >= 0)
      pending_ = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (pending_ < 0 || !greet) return false;
    auto session = std::make_unique<Session>();
    const LinkHello& hello = session->hello;
    ReceivedFds fds;
    if (receive_with_fds(pending_, &session->hello, sizeof hello, fds) != sizeof hello) return false;
    session->fd = std::exchange(pending_, -1);
    const size_t staging_fds = hello.staging_bytes > 0 ? 1 : 0;
    SS_CHECK(fds.count() == staging_fds + (hello.calibration_bytes > 0 ? 1 : 0), "as the hello says");
    if (staging_fds > 0) {
      auto staging = SharedRegion::map(fds.take(0), hello.staging_bytes);
      SS_CHECK(staging.has_value(), "the staging region is sealed and large enough");
      session->staging = std::move(*staging);
    }
    if (hello.calibration_bytes > 0) {
      const auto sealed = SealedBytes::adopt(fds.take(staging_fds), hello.calibration_bytes);
      SS_CHECK(sealed.has_value(), "the calibration is sealed and as long as was said");
      session->calibration = *sealed->read();
    }
    welcome(*session);
    sessions.push_back(std::move(session));
    return true;
  }

  void welcome(Session& session) {
    LinkWelcome welcome;
    welcome.error = refuse;
    std::strcpy(welcome.text, "not today");
    welcome.ring_entries = ring_entries;
    welcome.session = static_cast<uint32_t>(sessions.size() + 1);
    welcome.replies_offset = (RequestRing::bytes(ring_entries) + 63) / 64 * 64;
    session.rings = std::move(
        *SharedRegion::create("fake-rings", welcome.replies_offset + ReplyRing::bytes(ring_entries)));
    session.requests = RequestRing::create(session.rings.data(), ring_entries);
    session.replies = ReplyRing::create(session.rings.data() + welcome.replies_offset, ring_entries);
    session.plane_bell = eventfd(0, EFD_NONBLOCK);
    session.client_bell = eventfd(0, EFD_NONBLOCK);
    const int fds[3] = {session.rings.fd(), session.plane_bell, session.client_bell};
    iovec part{&welcome, sizeof welcome};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    std::memcpy(CMSG_DATA(header), fds, sizeof fds);
    // The client may be gone already: then this session is a stuck one.
    [[maybe_unused]] const ssize_t sent = sendmsg(session.fd, &message, MSG_NOSIGNAL);
  }

  LinkReply work(Session& session, const LinkRequest& request) {
    LinkReply reply;
    reply.ticket = request.ticket;
    reply.op = request.op;
    const auto key = std::pair(request.key, request.part);
    const auto found = store.find(key);
    if (request.op == LinkOp::kLookup) SS_CHECK(request.chunk_index() == 0, "lookups say nothing of it");
    if (request.op == LinkOp::kSave) {
      chunk_indices[key] = request.chunk_index();
      const PartShape shape = part_shape(session.hello.geometry.geometry(), request.part);
      const std::byte* values = session.staging.data() + request.staging_offset;
      store[key].assign(values, values + shape.value_bytes());
      saved_order.push_back(key);
      reply.value_bytes = static_cast<uint32_t>(shape.value_bytes());
      reply.wire_bytes = reply.value_bytes / 4;
    } else if (found == store.end()) {
      reply.error = static_cast<uint8_t>(Error::kMiss);
    } else if (request.op == LinkOp::kFetch && chunk_indices[key] != request.chunk_index()) {
      reply.error = static_cast<uint8_t>(Error::kRecordMalformed);
    } else if (request.op == LinkOp::kFetch) {
      std::memcpy(session.staging.data() + request.staging_offset, found->second.data(),
                  found->second.size());
      reply.value_bytes = static_cast<uint32_t>(found->second.size());
      reply.wire_bytes = reply.value_bytes / 4;
    }
    return reply;
  }

  const std::string path_;
  int listener_ = -1;
  int pending_ = -1;
  std::mutex mutex_;
  std::atomic<bool> running_{false};
  std::thread thread_;
};

}  // namespace shadowserve
