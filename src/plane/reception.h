// Reception: accepts engines on a Unix socket, opens and closes their sessions, hands out stats.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>

#include "plane/calibrated_models.h"
#include "plane/calibration_desk.h"
#include "plane/hardware_care.h"
#include "plane/session.h"
#include "plane/stage.h"
#include "wire/unix_socket.h"

namespace shadowserve {

/// Lives on the plane's main thread; the only one that may allocate, log and block briefly.
class Reception {
 public:
  /// Makes the plane ready for engines with memory on this GPU, or says in a sentence why that cannot be.
  using PrepareDevice = std::function<Result<void>(int device, std::string& message)>;
  /// `care` hears of all staging memory; null without hardware engines.
  Reception(std::span<Session> sessions, Doorbell& plane_doorbell, std::function<std::string()> stats,
            PrepareDevice prepare_device, CalibrationDesk& desk, HardwareCare* care = nullptr);
  ~Reception();
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;

  /// Binds both sockets (mode 0600). A stale file of a plane that died is replaced, a live one is not.
  Result<void> listen(const std::string& socket_path, std::string& message);
  /// Until `stop_fd` becomes readable.
  void serve(int stop_fd);

 private:
  /// One connected peer; index in the table = position of its descriptor.
  struct Peer {
    int fd = -1;
    Session* session = nullptr;  ///< nullptr: no hello yet
    uint64_t hello_by_ns = 0;
  };
  void watch(int fd, uint64_t tag);
  void accept_peer();
  void hear(Peer& peer);
  void hear_hello(Peer& peer, const LinkHello& hello, size_t bytes, ReceivedFds& fds);
  Result<void> attach(Session& session, const LinkHello& hello, ReceivedFds& fds, std::string& message);
  Result<std::shared_ptr<const CalibratedModel>> read_model(const LinkHello& hello, int fd,
                                                            std::string& message);
  void greet(Peer& peer, const LinkHello& hello, ReceivedFds& fds);
  void refuse(Peer& peer, Error error, std::string_view sentence);
  void part(Peer& peer);
  void serve_stats();
  bool close_drained();

  std::span<Session> sessions_;
  Doorbell& plane_doorbell_;
  std::function<std::string()> stats_;
  PrepareDevice prepare_device_;
  CalibratedModels models_;
  CalibrationDesk& desk_;
  HardwareCare* care_;
  std::string socket_path_;
  int epoll_fd_ = -1;
  int link_fd_ = -1;
  int stats_fd_ = -1;
  std::array<Peer, kSessionsMax + 8> peers_;  ///< a few more, so that refusals can be spoken
};

}  // namespace shadowserve
