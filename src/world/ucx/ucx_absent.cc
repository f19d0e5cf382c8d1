// UCX where this build has none.
#include "world/ucx/stream_ucx.h"
#include "world/ucx/ucx_relay.h"

namespace shadowserve {
namespace {

constexpr const char* kFound = "this build has no UCX";
constexpr const char* kRemedy = "build where libucx-dev is installed";

}  // namespace

UcxFinding find_ucx() {
  return {false, kFound,
          std::string(kRemedy) +
              ", or --receive sockets with the store's own address, for a relay speaks nothing but UCX"};
}

Result<std::unique_ptr<UcxStream>> UcxStream::create(std::string& message) {
  message = find_ucx().found + ": " + find_ucx().remedy;
  return fail(Error::kSystem);
}

Result<std::unique_ptr<UcxRelay>> UcxRelay::create(const UcxRelayOptions&, std::string& message) {
  message = std::string(kFound) + ": " + kRemedy;
  return fail(Error::kSystem);
}

}  // namespace shadowserve
