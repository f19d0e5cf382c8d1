// A stream that misbehaves on a schedule drawn from a seed: short transfers, stalls, resets. For tests.
#pragma once

#include <memory>
#include <random>

#include "world/stream.h"

namespace shadowserve {

struct StreamFaults {
  uint64_t seed = 1;
  size_t transfer_bytes_max = SIZE_MAX;  ///< at most this many bytes a call, at least 1
  double stall = 0;                      ///< chance that a call moves nothing
  uint64_t reset_after_bytes = 0;        ///< each connection breaks after about this many bytes; 0 = never
  uint32_t refused_connects = 0;         ///< the first connects fail
};

/// Wraps a stream. One thread, like any stream.
class FaultyStream final : public Stream {
 public:
  FaultyStream(std::unique_ptr<Stream> inner, const StreamFaults& faults)
      : inner_(std::move(inner)), faults_(faults), random_(faults.seed) {}

  Result<void> connect(const StreamAddress& to) override;
  Result<bool> ready() override { return inner_->ready(); }
  Result<size_t> readv(std::span<const iovec> into) override { return move(into, true); }
  Result<size_t> writev(std::span<const iovec> from) override { return move(from, false); }
  Result<void> flush() override { return inner_->flush(); }
  void use_memory(std::span<std::byte> memory) override { inner_->use_memory(memory); }
  int fd() const override { return inner_->fd(); }
  bool wants_output() const override { return inner_->wants_output(); }
  bool has_input() const override { return inner_->has_input(); }
  void close() override { inner_->close(); }
  int why() const override { return why_ != 0 ? why_ : inner_->why(); }

 private:
  Result<size_t> move(std::span<const iovec> parts, bool reading);
  std::unique_ptr<Stream> inner_;
  StreamFaults faults_;
  std::mt19937_64 random_;
  uint64_t bytes_left_ = 0;
  uint32_t connects_ = 0;
  int why_ = 0;
};

}  // namespace shadowserve
