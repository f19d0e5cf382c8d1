// Makes and ends a stream's connections on a thread that may block: UCX takes tens of milliseconds for each,
// and memory.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "memory/spsc_ring.h"
#include "world/ucx/ucx_frames.h"
#include "world/ucx/ucx_introduction.h"
#include "world/ucx/ucx_link.h"

namespace shadowserve {

/// What became of one call of dial(). Its link, if there is one, is the dialer's again with give_back().
struct UcxConnection {
  uint64_t number = 0;  ///< of the call
  int why = 0;          ///< errno; 0 = `link` is there, and greeted
  std::unique_ptr<UcxLink> link;
  UcxFrames frames;
  UcxConnection* next = nullptr;  ///< of those given back
};

/// dial(), forget(), take() and give_back() belong to one thread, and neither block nor allocate.
class UcxDialer {
 public:
  /// Starts the thread. Null and errno when there are no descriptors for it.
  static std::unique_ptr<UcxDialer> create(std::shared_ptr<const UcxContext> context);
  /// Ends the connections that it has, and its thread; waits for that.
  ~UcxDialer();
  UcxDialer(const UcxDialer&) = delete;
  UcxDialer& operator=(const UcxDialer&) = delete;

  /// Asks for a connection; the one asked for before, if any, is no longer wanted. False: too many have been
  /// asked for while the thread was busy.
  bool dial(const StreamAddress& to);
  /// None is wanted any more.
  void forget();
  /// What became of the last dial(), once. Null: not yet.
  UcxConnection* take();
  void give_back(UcxConnection* connection);
  /// Readable when take() may have something.
  int bell_fd() const { return told_fd_; }

 private:
  struct Question {
    uint64_t number;
    StreamAddress to;
  };
  static constexpr uint32_t kQuestions = 16;
  explicit UcxDialer(std::shared_ptr<const UcxContext> context);
  void run();
  void answer(const Question& question);
  int make(const Question& question, UcxConnection& connection) const;
  int join(UcxLink& link, std::span<const std::byte> relay, const UcxPatience& given) const;
  int greet(UcxConnection& connection, const UcxPatience& patience) const;
  bool wanted(uint64_t number) const { return wanted_.load(std::memory_order_acquire) == number; }
  void end_returned();

  std::shared_ptr<const UcxContext> context_;
  int asked_fd_ = -1;  // rung by the owner
  int told_fd_ = -1;   // rung by the thread
  uint64_t number_ = 0;
  alignas(64) std::array<std::byte, SpscRing<Question>::bytes(kQuestions)> memory_;
  SpscRing<Question> questions_;
  std::atomic<uint64_t> wanted_{0};  // the number of the last dial(); 0: none
  std::atomic<UcxConnection*> offered_{nullptr};
  std::atomic<UcxConnection*> returned_{nullptr};  // a stack
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace shadowserve
