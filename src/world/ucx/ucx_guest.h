// One connection of a relay: a client over UCX on one side, the store over TCP on the other.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "world/ucx/ucx_frames.h"
#include "world/ucx/ucx_introduction.h"
#include "world/ucx/ucx_link.h"
#include "world/ucx/ucx_relay.h"

namespace shadowserve {

/// As UcxRelayCounts, counted by many threads.
struct UcxRelayTallies {
  std::atomic<uint64_t> open{0}, accepted{0}, refused{0}, failed{0}, bytes_in{0}, bytes_out{0};
};

class UcxGuest {
 public:
  /// Starts its thread, which takes the connection `fd`. It ends by itself when either side goes, or when
  /// `quit_fd` is readable; options and tallies outlive it.
  UcxGuest(std::shared_ptr<const UcxContext> context, int fd, const UcxRelayOptions& options, int quit_fd,
           UcxRelayTallies& tallies);
  ~UcxGuest() { thread_.join(); }
  UcxGuest(const UcxGuest&) = delete;
  UcxGuest& operator=(const UcxGuest&) = delete;

  /// Its thread is about to end.
  bool done() const { return done_.load(std::memory_order_acquire); }

 private:
  void run();
  UcxPatience patience() const;
  bool begin();
  bool await_client(const UcxPatience& patient);
  int dial();
  bool greet();
  void drop_padding();
  void pump();
  bool to_client();
  bool to_store();
  void say_end(int why);
  void linger();
  bool wait(short store_events, int milliseconds);

  std::shared_ptr<const UcxContext> context_;
  const UcxRelayOptions& options_;
  const int quit_fd_;
  UcxRelayTallies& tallies_;
  TcpStream client_;  // until the link has it
  std::unique_ptr<UcxLink> link_;
  TcpStream store_;
  size_t padding_ = kUcxWarmBytes;  // of the client's, still to come
  bool blocked_ = false;            // the store takes no more
  int store_ended_ = -1;            // errno of the store's side, 0: it closed; -1: it is there
  bool quit_ = false;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace shadowserve
