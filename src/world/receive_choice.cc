// Falls back where io_uring is refused or UCX is not there.
#include "world/receive_choice.h"

#include <algorithm>

#include "contract/check.h"
#include "world/stream_io_uring.h"
#include "world/ucx/stream_ucx.h"

namespace shadowserve {
namespace {

std::unique_ptr<Stream> make_tcp() { return std::make_unique<TcpStream>(); }

template <typename Finding>
void fall_back(ReceiveChoice& choice, const Finding& finding) {
  choice.warning = finding.found + ": receiving through sockets. What helps: " + finding.remedy;
}

void choose_io_uring(ReceiveChoice& choice) {
  const IoUringFinding finding = find_io_uring();
  if (!finding.usable) return fall_back(choice, finding);
  choice.name = kReceiveIoUring;
  choice.found = finding.found;
  choice.make_stream = [mode = finding.best]() -> std::unique_ptr<Stream> {
    std::string ignored;  // the kernel gave a ring a moment ago: it is out of something now
    auto stream = IoUringStream::create(mode, ignored);
    if (stream) return std::move(*stream);
    return make_tcp();
  };
}

void choose_ucx(ReceiveChoice& choice) {
  const UcxFinding finding = find_ucx();
  if (!finding.usable) return fall_back(choice, finding);
  choice.name = kReceiveUcx;
  choice.found = finding.found;
  choice.make_stream = []() -> std::unique_ptr<Stream> {
    std::string ignored;  // as above
    auto stream = UcxStream::create(ignored);
    if (stream) return std::move(*stream);
    return make_tcp();
  };
}

}  // namespace

ReceiveChoice choose_receive(std::string_view asked) {
  SS_CHECK(std::count(kReceiveNames.begin(), kReceiveNames.end(), asked) == 1,
           "settings are checked where they are read");
  ReceiveChoice choice{kReceiveSockets, "plain sockets", "", make_tcp};
  if (asked == kReceiveIoUring) choose_io_uring(choice);
  if (asked == kReceiveUcx) choose_ucx(choice);
  return choice;
}

}  // namespace shadowserve
