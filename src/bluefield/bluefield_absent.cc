// Stands in for everything of DOCA in a build without it: there is no BlueField, and whoever asks for one is
// told so.
#include "bluefield/bluefield_copy_engine.h"
#include "bluefield/bluefield_device.h"
#include "bluefield/bluefield_inflate_engine.h"

namespace shadowserve {

bool bluefield_built() { return false; }
std::vector<BluefieldAbilities> find_bluefields() { return {}; }

Result<std::unique_ptr<BluefieldDevice>> BluefieldDevice::open(const std::string&, std::string& message) {
  message = "this build has no BlueField engines: build it where the DOCA SDK is (SHADOWSERVE_DOCA=ON)";
  return fail(Error::kUnsupported);
}
BluefieldDevice::~BluefieldDevice() = default;

// Nothing below can exist: what would make one always fails.
Result<std::unique_ptr<BluefieldMemory>> BluefieldMemory::share(const BluefieldDevice&,
                                                                std::span<std::byte>) {
  return fail(Error::kUnsupported);
}
Result<std::unique_ptr<BluefieldMemory>> BluefieldMemory::import(const BluefieldDevice&,
                                                                 std::span<const std::byte>) {
  return fail(Error::kUnsupported);
}
BluefieldMemory::~BluefieldMemory() = default;

struct BluefieldInflateEngine::Queue {};
Result<std::unique_ptr<BluefieldInflateEngine>> BluefieldInflateEngine::create(const BluefieldDevice&,
                                                                               const BluefieldReach&,
                                                                               size_t) {
  return fail(Error::kUnsupported);
}
BluefieldInflateEngine::~BluefieldInflateEngine() = default;
InflateAbilities BluefieldInflateEngine::abilities() const { return {}; }
Result<void> BluefieldInflateEngine::submit(const InflateTask&) { return fail(Error::kUnsupported); }
size_t BluefieldInflateEngine::poll(std::span<InflateDone>) { return 0; }
bool BluefieldInflateEngine::lost() const { return true; }
void BluefieldInflateEngine::abandon() {}
Result<void> BluefieldInflateEngine::revive() { return fail(Error::kUnsupported); }

struct BluefieldCopyEngine::Queue {};
Result<std::unique_ptr<BluefieldCopyEngine>> BluefieldCopyEngine::create(const BluefieldDevice&,
                                                                         const BluefieldReach&, size_t) {
  return fail(Error::kUnsupported);
}
BluefieldCopyEngine::~BluefieldCopyEngine() = default;
CopyAbilities BluefieldCopyEngine::abilities() const { return {}; }
Result<void> BluefieldCopyEngine::submit(const CopyTask&) { return fail(Error::kUnsupported); }
size_t BluefieldCopyEngine::poll(std::span<CopyDone>) { return 0; }
bool BluefieldCopyEngine::lost() const { return true; }
void BluefieldCopyEngine::abandon() {}
Result<void> BluefieldCopyEngine::revive() { return fail(Error::kUnsupported); }

}  // namespace shadowserve
