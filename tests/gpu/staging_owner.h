// Test support: a second process that owns GPU staging memory, hands it out, fills it and checks what came.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <vector>

#include "kernels/device_memory.h"

namespace shadowserve {

/// Word `index` of memory that belongs to `seed`.
inline uint64_t pattern_word(uint64_t seed, uint64_t index) {
  return (index + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xc2b2ae3d27d4eb4fu;
}

/// One question at a time over a socket pair. Made before this process uses CUDA, which does not survive a
/// fork. The other process ends when this object does.
class StagingOwner {
 public:
  StagingOwner();
  ~StagingOwner() { end(SIGTERM); }
  StagingOwner(const StagingOwner&) = delete;
  StagingOwner& operator=(const StagingOwner&) = delete;

  /// Memory of `bytes` on device 0 instead of the last; a handle of 0 bytes when that failed.
  DeviceMemoryHandle allocate(uint64_t bytes);
  /// The owner's last memory is freed.
  void free();
  /// All of the memory becomes the pattern of `seed`.
  void fill(uint64_t seed);
  /// Words that differ from the pattern of `seed`.
  uint64_t differing_words(uint64_t seed);
  /// Ends the process as it is, and waits until it is gone.
  void end(int signal);

 private:
  enum class Wish : uint32_t { kAllocate, kFree, kFill, kDiffering };
  struct Question {
    Wish wish;
    uint64_t number;
  };
  struct Answer {
    DeviceMemoryHandle handle;
    uint64_t number = 0;
  };
  Answer ask(Wish wish, uint64_t number);
  static void serve(int socket);
  static Answer answer(const Question& question, DeviceMemory& memory);
  int socket_ = -1;
  pid_t process_ = -1;
};

}  // namespace shadowserve
