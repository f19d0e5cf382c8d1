// Devices, capabilities and memory maps, through DOCA Core.
#include "bluefield/bluefield_device.h"

#include <doca_compress.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_mmap.h>

#include <algorithm>

namespace shadowserve {
namespace {

BluefieldAbilities ask(const doca_devinfo* info) {
  BluefieldAbilities abilities;
  char address[DOCA_DEVINFO_PCI_ADDR_SIZE] = {};
  if (doca_devinfo_get_pci_addr_str(info, address) == DOCA_SUCCESS) abilities.address = address;
  uint64_t bytes = 0;
  if (doca_compress_cap_task_decompress_deflate_is_supported(info) == DOCA_SUCCESS &&
      doca_compress_cap_task_decompress_deflate_get_max_buf_size(info, &bytes) == DOCA_SUCCESS) {
    abilities.inflate_bytes_max = bytes;
  }
  if (doca_dma_cap_task_memcpy_is_supported(info) == DOCA_SUCCESS &&
      doca_dma_cap_task_memcpy_get_max_buf_size(info, &bytes) == DOCA_SUCCESS) {
    abilities.copy_bytes_max = bytes;
  }
  return abilities;
}

/// DOCA's list, given back at the end.
class DeviceList {
 public:
  DeviceList() {
    if (doca_devinfo_create_list(&list_, &count_) != DOCA_SUCCESS) count_ = 0;
  }
  ~DeviceList() {
    if (list_ != nullptr) doca_devinfo_destroy_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;
  std::span<doca_devinfo*> devices() const { return {list_, count_}; }

 private:
  doca_devinfo** list_ = nullptr;
  uint32_t count_ = 0;
};

std::string why_not(const std::string& address, const DeviceList& list) {
  if (list.devices().empty()) return "DOCA finds no device: is this a BlueField, and its driver loaded?";
  if (address.empty()) return "none of the devices that DOCA finds can both inflate Deflate and copy by DMA";
  for (const doca_devinfo* info : list.devices()) {
    if (ask(info).address == address)
      return "the device at " + address + " cannot both inflate Deflate and copy by DMA";
  }
  return "DOCA finds no device at " + address;
}

}  // namespace

bool bluefield_built() { return true; }

std::vector<BluefieldAbilities> find_bluefields() {
  const DeviceList list;
  std::vector<BluefieldAbilities> found;
  for (const doca_devinfo* info : list.devices()) found.push_back(ask(info));
  return found;
}

Result<std::unique_ptr<BluefieldDevice>> BluefieldDevice::open(const std::string& address,
                                                               std::string& message) {
  const DeviceList list;
  for (doca_devinfo* info : list.devices()) {
    const BluefieldAbilities abilities = ask(info);
    if (!abilities.complete() || (!address.empty() && abilities.address != address)) continue;
    std::unique_ptr<BluefieldDevice> device(new BluefieldDevice);
    device->abilities_ = abilities;
    if (doca_dev_open(info, &device->device_) == DOCA_SUCCESS) return device;
    device->device_ = nullptr;
    message = "the BlueField at " + abilities.address + " does not open";
    return fail(Error::kSystem);
  }
  message = why_not(address, list);
  return fail(Error::kConfig);
}

BluefieldDevice::~BluefieldDevice() {
  if (device_ != nullptr) doca_dev_close(device_);
}

Result<std::unique_ptr<BluefieldMemory>> BluefieldMemory::share(const BluefieldDevice& device,
                                                                std::span<std::byte> memory) {
  std::unique_ptr<BluefieldMemory> shared(new BluefieldMemory);
  if (doca_mmap_create(&shared->map_) != DOCA_SUCCESS) return fail(Error::kSystem);
  const bool made =
      doca_mmap_set_memrange(shared->map_, memory.data(), memory.size()) == DOCA_SUCCESS &&
      doca_mmap_set_permissions(shared->map_, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE) == DOCA_SUCCESS &&
      doca_mmap_add_dev(shared->map_, device.handle()) == DOCA_SUCCESS &&
      doca_mmap_start(shared->map_) == DOCA_SUCCESS;
  if (!made) return fail(Error::kSystem);
  shared->start_ = memory.data();
  shared->bytes_ = memory.size();
  return shared;
}

Result<std::unique_ptr<BluefieldMemory>> BluefieldMemory::import(const BluefieldDevice& device,
                                                                 std::span<const std::byte> window) {
  std::unique_ptr<BluefieldMemory> imported(new BluefieldMemory);
  if (doca_mmap_create_from_export(nullptr, window.data(), window.size(), device.handle(), &imported->map_) !=
      DOCA_SUCCESS) {
    imported->map_ = nullptr;
    return fail(Error::kSystem);
  }
  void* start = nullptr;
  if (doca_mmap_get_memrange(imported->map_, &start, &imported->bytes_) != DOCA_SUCCESS) {
    return fail(Error::kSystem);
  }
  imported->start_ = static_cast<std::byte*>(start);
  return imported;
}

BluefieldMemory::~BluefieldMemory() {
  if (map_ != nullptr) doca_mmap_destroy(map_);
}

}  // namespace shadowserve
