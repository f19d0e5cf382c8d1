// Keeps calibrations in the plane's store for whoever brings one, and fetches them for whoever asks.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "store/record_store.h"
#include "wire/calibration_call.h"
#include "wire/unix_socket.h"
#include "world/clock.h"

namespace shadowserve {

/// Lives on reception's thread, with a store client of its own: the data plane's threads know nothing of it.
/// Never waits. Allocates.
class CalibrationDesk {
 public:
  /// Conversations at once; whoever comes then is told to come again.
  static constexpr size_t kCallersMax = 4;
  /// Every caller has its answer by then, whatever the store does.
  static constexpr uint64_t kAnswerNs = 3'000 * kNsPerMs;

  /// `store` has room for kCallersMax operations. Both must outlive the desk, `store` also until nothing of
  /// the desk's is in flight there any more: destroy it first.
  CalibrationDesk(RecordStore& store, const Clock& clock) : store_(store), clock_(clock) {}
  ~CalibrationDesk();
  CalibrationDesk(const CalibrationDesk&) = delete;
  CalibrationDesk& operator=(const CalibrationDesk&) = delete;

  /// Takes over the connection `fd` on which `call` came, to answer and to close it.
  void take(int fd, const CalibrationCall& call, ReceivedFds& fds);
  /// Answers whoever can be answered. True while somebody waits.
  bool step();
  /// Readable when step() has something to do; -1: call it every few ms while it returns true.
  int wake_fd() const { return store_.wake_fd(); }

 private:
  struct Caller {
    int fd = -1;
    CalibrationOp op = CalibrationOp::kFetch;
    ChunkKey fingerprint{};
    std::vector<std::byte> file;  ///< the store's until it has said that it is done with it
    uint64_t answer_by_ns = 0;
    bool with_store = false;
    bool free() const { return fd < 0 && !with_store; }
  };
  Result<void> begin(Caller& caller, const CalibrationCall& call, ReceivedFds& fds, std::string& message);
  Result<void> begin_publishing(Caller& caller, const CalibrationCall& call, ReceivedFds& fds,
                                std::string& message);
  void ended(Caller& caller, const StoreDone& done);
  void hand_out(Caller& caller, size_t bytes);
  void answer(int& fd, Error error, std::string_view sentence, int file_fd = -1, size_t bytes = 0);

  RecordStore& store_;
  const Clock& clock_;
  std::array<Caller, kCallersMax> callers_;
};

}  // namespace shadowserve
