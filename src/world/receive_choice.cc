// Falls back where io_uring is refused.
#include "world/receive_choice.h"

#include "contract/check.h"
#include "world/stream_io_uring.h"

namespace shadowserve {
namespace {

std::unique_ptr<Stream> make_tcp() { return std::make_unique<TcpStream>(); }

}  // namespace

ReceiveChoice choose_receive(std::string_view asked) {
  SS_CHECK(asked == kReceiveSockets || asked == kReceiveIoUring, "settings are checked where they are read");
  ReceiveChoice choice{kReceiveSockets, "plain sockets", "", make_tcp};
  if (asked == kReceiveSockets) return choice;
  const IoUringFinding finding = find_io_uring();
  if (!finding.usable) {
    choice.warning = finding.found + ": receiving through sockets. What helps: " + finding.remedy;
    return choice;
  }
  choice.name = kReceiveIoUring;
  choice.found = finding.found;
  choice.make_stream = [mode = finding.best]() -> std::unique_ptr<Stream> {
    std::string ignored;  // the kernel gave a ring a moment ago: it is out of something now
    auto stream = IoUringStream::create(mode, ignored);
    if (stream) return std::move(*stream);
    return make_tcp();
  };
  return choice;
}

}  // namespace shadowserve
