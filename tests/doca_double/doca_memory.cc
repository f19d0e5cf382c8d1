// The double's devices, memory maps, buffers and inventories.
#include <cstdio>
#include <cstring>
#include <utility>

#include "doca_objects.h"

namespace doca_double {

World& world() {
  static World only;
  return only;
}
Behaviour& behaviour() { return world().behaviour; }
const Counts& counts() { return world().counts; }
size_t objects_alive() { return world().objects; }

void complain(std::string what) {
  const std::lock_guard lock(world().mutex);
  world().complaints.push_back(std::move(what));
}

std::vector<std::string> complaints() {
  const std::lock_guard lock(world().mutex);
  return std::exchange(world().complaints, {});
}

void start_over() {
  World& w = world();
  if (w.objects > 0) complain("the double starts over while objects are alive");
  w.behaviour = {};
  w.counts = {};
  w.tasks_begun = w.tasks_ended = w.random_seed = 0;
}

namespace {

constexpr uint64_t kExportMagic = 0x646f63616d617000;

template <typename Object>
doca_error_t give(Object** out) {
  if (out == nullptr) return DOCA_ERROR_INVALID_VALUE;
  *out = new Object;
  ++world().objects;
  return DOCA_SUCCESS;
}

doca_error_t take_buf(doca_buf_inventory* inventory, doca_mmap* map, void* at, size_t bytes, size_t data,
                      doca_buf** out) {
  auto* start = static_cast<std::byte*>(at);
  if (!inventory->started || !map->started) complain("a buffer from an inventory or map that is not started");
  if (!map->covers(start, bytes)) return DOCA_ERROR_INVALID_VALUE;
  if (inventory->free.empty()) return DOCA_ERROR_NO_MEMORY;
  doca_buf* buf = inventory->free.back();
  inventory->free.pop_back();
  *buf = {inventory, map, start, bytes, data, 1, false};
  ++map->bufs;
  *out = buf;
  return DOCA_SUCCESS;
}

doca_error_t move_buf(doca_buf* buf, void* at, size_t bytes, size_t data) {
  if (buf->references != 1) complain("a buffer is moved that was given back");
  if (buf->in_task) complain("a buffer is moved while a task has it");
  auto* start = static_cast<std::byte*>(at);
  if (!buf->map->covers(start, bytes)) return DOCA_ERROR_INVALID_VALUE;
  buf->start = start;
  buf->bytes = bytes;
  buf->data_bytes = data;
  return DOCA_SUCCESS;
}

}  // namespace
}  // namespace doca_double

using namespace doca_double;

const char* doca_error_get_descr(doca_error_t) { return "as the double was told"; }

doca_error_t doca_devinfo_create_list(doca_devinfo*** list, uint32_t* count) {
  *count = world().behaviour.devices;
  if (*count == 0) return DOCA_ERROR_NOT_FOUND;
  *list = new doca_devinfo*[*count];
  for (uint32_t i = 0; i < *count; ++i) (*list)[i] = new doca_devinfo{i};
  (*list)[0]->number = 0;
  ++world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_devinfo_destroy_list(doca_devinfo** list) {
  for (uint32_t i = 0; i < world().behaviour.devices; ++i) delete list[i];
  delete[] list;
  --world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_devinfo_get_pci_addr_str(const doca_devinfo* info, char* address) {
  std::snprintf(address, DOCA_DEVINFO_PCI_ADDR_SIZE, "0000:03:00.%u", info->number % 8);
  return DOCA_SUCCESS;
}
doca_error_t doca_dev_open(doca_devinfo* info, doca_dev** device) {
  const doca_error_t given = give(device);
  (*device)->info = *info;
  return given;
}
doca_error_t doca_dev_close(doca_dev* device) {
  if (device->users > 0) {
    complain("a device is closed that is in use");
    return DOCA_ERROR_IN_USE;
  }
  delete device;
  --world().objects;
  return DOCA_SUCCESS;
}
doca_devinfo* doca_dev_as_devinfo(const doca_dev* device) { return &const_cast<doca_dev*>(device)->info; }

doca_error_t doca_mmap_create(doca_mmap** map) {
  const doca_error_t given = give(map);
  world().maps.push_back(*map);
  return given;
}
doca_error_t doca_mmap_destroy(doca_mmap* map) {
  if (map->bufs > 0) {
    complain("a memory map is destroyed that buffers point to");
    return DOCA_ERROR_NOT_PERMITTED;
  }
  if (map->device != nullptr) --map->device->users;
  std::erase(world().maps, map);
  delete map;
  --world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_set_memrange(doca_mmap* map, void* start, size_t bytes) {
  if (map->started) return DOCA_ERROR_BAD_STATE;
  if (map->start != nullptr || map->imported) return DOCA_ERROR_NOT_PERMITTED;
  map->start = static_cast<std::byte*>(start);
  map->bytes = bytes;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_get_memrange(const doca_mmap* map, void** start, size_t* bytes) {
  if (map->start == nullptr) return DOCA_ERROR_BAD_STATE;
  *start = map->start;
  *bytes = map->bytes;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_set_permissions(doca_mmap* map, uint32_t access) {
  if (map->started || map->imported) return DOCA_ERROR_BAD_STATE;
  map->access = access;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_add_dev(doca_mmap* map, doca_dev* device) {
  if (map->started || map->imported) return DOCA_ERROR_NOT_PERMITTED;
  if (map->device != nullptr) return DOCA_ERROR_NO_MEMORY;
  map->device = device;
  ++device->users;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_start(doca_mmap* map) {
  if (map->start == nullptr || map->device == nullptr) return DOCA_ERROR_INVALID_VALUE;
  map->started = true;
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_export_pci(doca_mmap* map, const doca_dev* device, const void** out, size_t* bytes) {
  const uint32_t pci = DOCA_ACCESS_FLAG_PCI_READ_ONLY | DOCA_ACCESS_FLAG_PCI_READ_WRITE;
  if (!map->started || map->imported || (map->access & pci) == 0) return DOCA_ERROR_NOT_PERMITTED;
  if (map->device != device) return DOCA_ERROR_NOT_FOUND;
  map->exported = {kExportMagic, reinterpret_cast<uint64_t>(map), reinterpret_cast<uint64_t>(map->start),
                   map->bytes};
  *out = map->exported.data();
  *bytes = sizeof(map->exported);
  return DOCA_SUCCESS;
}
doca_error_t doca_mmap_create_from_export(const doca_data*, const void* window, size_t bytes,
                                          doca_dev* device, doca_mmap** map) {
  std::array<uint64_t, 4> exported{};
  if (bytes != sizeof(exported)) return DOCA_ERROR_INVALID_VALUE;
  std::memcpy(exported.data(), window, bytes);
  if (exported[0] != kExportMagic) return DOCA_ERROR_INVALID_VALUE;
  bool alive = false;
  for (const doca_mmap* known : world().maps)
    alive = alive || reinterpret_cast<uint64_t>(known) == exported[1];
  if (!alive) return DOCA_ERROR_NOT_FOUND;
  doca_mmap_create(map);
  **map = {reinterpret_cast<std::byte*>(exported[2]), exported[3], 0, true, true, 0, device, {}};
  ++device->users;
  return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_create(size_t count, doca_buf_inventory** inventory) {
  const doca_error_t given = give(inventory);
  (*inventory)->bufs.resize(count);
  for (doca_buf& buf : (*inventory)->bufs) (*inventory)->free.push_back(&buf);
  return given;
}
doca_error_t doca_buf_inventory_destroy(doca_buf_inventory* inventory) {
  if (inventory->free.size() != inventory->bufs.size()) {
    complain("an inventory is destroyed while buffers of it are out");
    return DOCA_ERROR_IN_USE;
  }
  delete inventory;
  --world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_buf_inventory_start(doca_buf_inventory* inventory) {
  inventory->started = true;
  return DOCA_SUCCESS;
}
doca_error_t doca_buf_inventory_buf_get_by_data(doca_buf_inventory* inventory, doca_mmap* map, void* data,
                                                size_t bytes, doca_buf** buf) {
  return take_buf(inventory, map, data, bytes, bytes, buf);
}
doca_error_t doca_buf_inventory_buf_get_by_addr(doca_buf_inventory* inventory, doca_mmap* map, void* at,
                                                size_t bytes, doca_buf** buf) {
  return take_buf(inventory, map, at, bytes, 0, buf);
}
doca_error_t doca_buf_inventory_buf_reuse_by_data(doca_buf* buf, void* data, size_t bytes) {
  return move_buf(buf, data, bytes, bytes);
}
doca_error_t doca_buf_inventory_buf_reuse_by_addr(doca_buf* buf, void* at, size_t bytes) {
  return move_buf(buf, at, bytes, 0);
}

doca_error_t doca_buf_dec_refcount(doca_buf* buf, uint16_t* before) {
  if (buf->references == 0) {
    complain("a buffer is given back twice");
    return DOCA_ERROR_BAD_STATE;
  }
  if (buf->in_task) complain("a buffer is given back while a task has it");
  if (before != nullptr) *before = static_cast<uint16_t>(buf->references);
  buf->references = 0;
  --buf->map->bufs;
  buf->inventory->free.push_back(buf);
  return DOCA_SUCCESS;
}
doca_error_t doca_buf_get_data_len(const doca_buf* buf, size_t* bytes) {
  if (buf->references == 0) complain("a buffer is read that was given back");
  *bytes = buf->data_bytes;
  return DOCA_SUCCESS;
}
