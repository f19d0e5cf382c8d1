// The owner's process: a loop of questions and answers.
#include "gpu/staging_owner.h"

#include <cuda_runtime_api.h>

#include "contract/check.h"

namespace shadowserve {

StagingOwner::StagingOwner() {
  int sockets[2];
  SS_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "a socket pair can be made");
  process_ = fork();
  SS_CHECK(process_ >= 0, "a process can be made");
  socket_ = sockets[process_ == 0 ? 1 : 0];
  close(sockets[process_ == 0 ? 0 : 1]);
  if (process_ != 0) return;
  serve(socket_);
  // Neither destructors nor atexit of what the parent had set up.
  _exit(0);
}

void StagingOwner::serve(int socket) {
  DeviceMemory memory;
  Question question;
  while (recv(socket, &question, sizeof(question), MSG_WAITALL) == sizeof(question)) {
    const Answer said = answer(question, memory);
    if (send(socket, &said, sizeof(said), MSG_NOSIGNAL) != sizeof(said)) return;
  }
}

StagingOwner::Answer StagingOwner::answer(const Question& question, DeviceMemory& memory) {
  Answer said;
  std::vector<uint64_t> words(memory.size() / sizeof(uint64_t));
  switch (question.wish) {
    case Wish::kAllocate: {
      memory = DeviceMemory();
      auto made = DeviceMemory::allocate(0, question.number);
      if (!made) return said;
      memory = std::move(*made);
      cudaMemset(memory.data(), 0, memory.size());
      cudaDeviceSynchronize();
      if (auto handle = memory.handle()) said.handle = *handle;
      return said;
    }
    case Wish::kFree:
      memory = DeviceMemory();
      return said;
    case Wish::kFill:
      for (size_t i = 0; i < words.size(); ++i) words[i] = pattern_word(question.number, i);
      cudaMemcpy(memory.data(), words.data(), memory.size(), cudaMemcpyHostToDevice);
      cudaDeviceSynchronize();
      return said;
    case Wish::kDiffering:
      cudaMemcpy(words.data(), memory.data(), memory.size(), cudaMemcpyDeviceToHost);
      for (size_t i = 0; i < words.size(); ++i) said.number += words[i] != pattern_word(question.number, i);
      return said;
  }
  return said;
}

StagingOwner::Answer StagingOwner::ask(Wish wish, uint64_t number) {
  const Question question{wish, number};
  Answer said;
  SS_CHECK(send(socket_, &question, sizeof(question), MSG_NOSIGNAL) == sizeof(question), "the owner lives");
  SS_CHECK(recv(socket_, &said, sizeof(said), MSG_WAITALL) == sizeof(said), "the owner answers");
  return said;
}

DeviceMemoryHandle StagingOwner::allocate(uint64_t bytes) { return ask(Wish::kAllocate, bytes).handle; }
void StagingOwner::free() { ask(Wish::kFree, 0); }
void StagingOwner::fill(uint64_t seed) { ask(Wish::kFill, seed); }
uint64_t StagingOwner::differing_words(uint64_t seed) { return ask(Wish::kDiffering, seed).number; }

void StagingOwner::end(int signal) {
  if (process_ <= 0) return;
  kill(process_, signal);
  waitpid(process_, nullptr, 0);
  close(socket_);
  process_ = -1;
}

}  // namespace shadowserve
