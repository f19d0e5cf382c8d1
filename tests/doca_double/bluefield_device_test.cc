// Finding, opening and refusing BlueFields, and memory of another process.
#include <doca_dev.h>
#include <doca_mmap.h>

#include <cstring>

#include "bluefield/bluefield_copy_engine.h"
#include "double_fixture.h"
#include "plane/rescued_copy_engine.h"

namespace shadowserve {
namespace {

using testing::HasSubstr;

class BluefieldDeviceTest : public OnTheDouble {
 protected:
  std::string refusal(const std::string& address) {
    std::string message;
    EXPECT_FALSE(BluefieldDevice::open(address, message));
    return message;
  }
};

TEST_F(BluefieldDeviceTest, OpensTheFirstThatCanOrTheOneThatIsNamed) {
  behaviour().devices = 3;
  std::string message;
  {
    const auto any = BluefieldDevice::open("", message);
    ASSERT_TRUE(any) << message;
    EXPECT_EQ((*any)->abilities().address, "0000:03:00.0");
    EXPECT_EQ((*any)->abilities().inflate_bytes_max, 2u << 20);
    const auto named = BluefieldDevice::open("0000:03:00.2", message);
    ASSERT_TRUE(named) << message;
    EXPECT_EQ((*named)->abilities().address, "0000:03:00.2");
  }
  EXPECT_EQ(find_bluefields().size(), 3u);
  expect_clean();
}

TEST_F(BluefieldDeviceTest, SaysWhyThereIsNone) {
  EXPECT_THAT(refusal("0000:99:00.0"), HasSubstr("no device at 0000:99:00.0"));
  behaviour().inflates = false;
  EXPECT_THAT(refusal(""), HasSubstr("none of the devices"));
  EXPECT_THAT(refusal("0000:03:00.0"), HasSubstr("cannot both inflate Deflate and copy"));
  EXPECT_EQ(find_bluefields().at(0).inflate_bytes_max, 0u);
  behaviour().devices = 0;
  EXPECT_THAT(refusal(""), HasSubstr("finds no device"));
  expect_clean();
}

/// The other side of the bus: what the engine's host does, with DOCA's own calls.
TEST_F(BluefieldDeviceTest, CopiesIntoAWindowOfTheHost) {
  std::vector<std::byte> slots(4096, std::byte{3}), staging(8192);
  std::string message;
  {
    const auto device = BluefieldDevice::open("", message);
    ASSERT_TRUE(device) << message;
    doca_mmap* host_map = nullptr;
    doca_mmap_create(&host_map);
    doca_mmap_set_memrange(host_map, staging.data(), staging.size());
    doca_mmap_set_permissions(host_map, DOCA_ACCESS_FLAG_PCI_READ_WRITE);
    doca_mmap_add_dev(host_map, (*device)->handle());
    doca_mmap_start(host_map);
    const void* window = nullptr;
    size_t window_bytes = 0;
    ASSERT_EQ(doca_mmap_export_pci(host_map, (*device)->handle(), &window, &window_bytes), DOCA_SUCCESS);
    {
      const auto shared = BluefieldMemory::share(**device, slots).value();
      const std::span told(static_cast<const std::byte*>(window), window_bytes);
      const auto imported = BluefieldMemory::import(**device, told).value();
      EXPECT_EQ(imported->bytes(), staging.size());
      EXPECT_FALSE(BluefieldMemory::import(**device, told.first(8))) << "not a window";
      BluefieldReach reach(*shared);
      const auto engine = BluefieldCopyEngine::create(**device, reach, 4).value();
      const CopyTask task{&staging[1000], &slots[96], 4000, 5};
      EXPECT_EQ(engine->submit(task).error(), Error::kUnsupported) << "negative control: it was not told yet";
      reach.set_staging(0, imported.get());
      ASSERT_TRUE(engine->submit(task));
      CopyDone done[1];
      ASSERT_EQ(engine->poll(done), 1u);
      EXPECT_EQ(done[0].error, Error::kNone);
      EXPECT_EQ(staging[999], std::byte{0});
      EXPECT_EQ(staging[1000], std::byte{3});
      EXPECT_EQ(staging[4999], std::byte{3});
      EXPECT_EQ(staging[5000], std::byte{0});

      // This core cannot follow such addresses: nobody stands behind the device.
      const VirtualClock clock;
      RescuedCopyEngine alone(*engine, nullptr, clock);
      behaviour().failing_tasks = 1;
      ASSERT_TRUE(alone.submit(task));
      ASSERT_EQ(alone.poll(done), 1u);
      EXPECT_EQ(done[0].error, Error::kSystem);
      EXPECT_EQ(done[0].ticket, 5u);
      ASSERT_TRUE(alone.submit(task));
      ASSERT_EQ(alone.poll(done), 1u);
      EXPECT_EQ(done[0].error, Error::kNone);
      reach.set_staging(0, nullptr);
      EXPECT_EQ(alone.submit(task).error(), Error::kUnsupported);
      EXPECT_EQ(engine->submit(task).error(), Error::kUnsupported);
    }
    doca_mmap_destroy(host_map);
  }
  expect_clean();
}

/// The core must not write what a piece of the same copy may still be written to by the device.
TEST_F(BluefieldDeviceTest, ACopyIsMadeAgainOnlyWhenTheDeviceHasNoPieceOfItAnyMore) {
  std::vector<std::byte> memory(1 << 16);
  std::memset(memory.data(), 9, 10000);
  behaviour().copy_bytes_max = 4000;
  std::string message;
  {
    const auto device = BluefieldDevice::open("", message).value();
    const auto shared = BluefieldMemory::share(*device, memory).value();
    const BluefieldReach reach(*shared);
    const auto copier = BluefieldCopyEngine::create(*device, reach, 8).value();
    const VirtualClock clock;
    HostCopyEngine host;
    RescuedCopyEngine engine(*copier, &host, clock);
    behaviour().failing_tasks = 1;
    behaviour().holds_after_tasks = 1;
    ASSERT_TRUE(engine.submit({&memory[20000], memory.data(), 10000, 5}));
    CopyDone done[4];
    for (int i = 0; i < 10; ++i) EXPECT_EQ(engine.poll(done), 0u);
    EXPECT_EQ(engine.counters().failed.read(), 1u);
    EXPECT_EQ(memory[20000], std::byte{0}) << "the core waits";
    behaviour().holding = false;
    size_t ended = 0;
    for (int i = 0; i < 10; ++i) ended += engine.poll(done);
    EXPECT_EQ(ended, 1u);
    EXPECT_EQ(done[0].error, Error::kNone);
    EXPECT_EQ(std::memcmp(&memory[20000], memory.data(), 10000), 0);
    EXPECT_EQ(engine.counters().by_host.read(), 1u);
  }
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
