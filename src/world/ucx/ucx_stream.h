// The stream behind UcxStream: a connection that its dialer lends it.
#pragma once

#include "world/ucx/stream_ucx.h"
#include "world/ucx/ucx_dialer.h"

namespace shadowserve {

class UcxLentStream final : public UcxStream {
 public:
  explicit UcxLentStream(std::unique_ptr<UcxDialer> dialer) : dialer_(std::move(dialer)) {}
  ~UcxLentStream() override { close(); }
  UcxLentStream(const UcxLentStream&) = delete;
  UcxLentStream& operator=(const UcxLentStream&) = delete;

  Result<void> connect(const StreamAddress& to) override;
  Result<bool> ready() override;
  Result<size_t> readv(std::span<const iovec> into) override;
  Result<size_t> writev(std::span<const iovec> from) override;
  Result<void> flush() override;
  int fd() const override { return fd_; }
  bool wants_output() const override { return false; }
  bool has_input() const override;
  void close() override;
  int why() const override { return why_; }

 private:
  Failure broken(int why);

  std::unique_ptr<UcxDialer> dialer_;
  UcxConnection* connection_ = nullptr;  // the dialer's, lent
  int fd_ = -1;
  int why_ = 0;
  int ended_why_ = -1;  // the relay said how it ended; -1: it has not
};

}  // namespace shadowserve
