// io_uring where this build has none.
#include "world/stream_io_uring.h"

namespace shadowserve {

IoUringFinding find_io_uring() {
  return {false, IoUringMode::kPlain, "this build has no io_uring",
          "build where liburing-dev is installed, or stay with --receive sockets"};
}

Result<std::unique_ptr<IoUringStream>> IoUringStream::create(IoUringMode, std::string& message) {
  const IoUringFinding finding = find_io_uring();
  message = finding.found + ": " + finding.remedy;
  return fail(Error::kSystem);
}

}  // namespace shadowserve
