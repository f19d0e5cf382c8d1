// Makes a BlueField's engines for each lane and looks after them.
#include "plane/bluefield_engines.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "world/clock.h"

namespace shadowserve {
namespace {

/// Frames of two records, so that the next is there when one ends; copies of every slot of a usual plane.
constexpr size_t kInflateDepth = 2 * kFramesPerRecordMax;
constexpr size_t kCopyDepth = 64;

constexpr uint64_t kReviveNsMin = 10 * kNsPerMs;
constexpr uint64_t kReviveNsMax = 10'000 * kNsPerMs;

}  // namespace

Result<std::unique_ptr<BluefieldEngines>> BluefieldEngines::create(const std::string& address,
                                                                   std::span<std::byte> slots, size_t lanes,
                                                                   std::string& message) {
  auto device = BluefieldDevice::open(address, message);
  if (!device) return fail(device.error());
  std::unique_ptr<BluefieldEngines> engines(new BluefieldEngines);
  engines->device_ = std::move(*device);
  const std::string& at = engines->device_->abilities().address;
  auto shared = BluefieldMemory::share(*engines->device_, slots);
  if (!shared) {
    message = fmt::format("the BlueField at {} cannot be told of {} MiB of slots: lower --fetch-slots", at,
                          slots.size() >> 20);
    return fail(shared.error());
  }
  engines->slots_ = std::move(*shared);
  engines->reach_ = std::make_unique<BluefieldReach>(*engines->slots_);
  for (size_t i = 0; i < lanes; ++i) {
    if (engines->add_lane()) continue;
    message = fmt::format("the BlueField at {} has no engines left for core {} of {}: use fewer --cores", at,
                          i + 1, lanes);
    return fail(Error::kSystem);
  }
  return engines;
}

bool BluefieldEngines::add_lane() {
  auto inflate = BluefieldInflateEngine::create(*device_, *reach_, kInflateDepth);
  auto deliver = BluefieldCopyEngine::create(*device_, *reach_, kCopyDepth);
  auto collect = BluefieldCopyEngine::create(*device_, *reach_, kCopyDepth);
  if (!inflate || !deliver || !collect) return false;
  const size_t number = lanes_.size();
  lanes_.push_back({std::move(*inflate), std::move(*deliver), std::move(*collect)});
  const auto care_for = [&](const char* what, auto* engine) {
    patients_.push_back({fmt::format("{} engine of lane {}", what, number),
                         [engine] { return engine->lost(); }, [engine] { return engine->revive(); }});
  };
  care_for("inflate", lanes_.back().inflate.get());
  care_for("delivery", lanes_.back().deliver.get());
  care_for("collection", lanes_.back().collect.get());
  return true;
}

DeviceEngines BluefieldEngines::lane(size_t number) {
  LaneOf& lane = lanes_.at(number);
  return {lane.inflate.get(), lane.deliver.get(), lane.collect.get()};
}

bool BluefieldEngines::keep_staging(size_t row, Result<std::unique_ptr<BluefieldMemory>> memory) {
  if (!memory) return false;
  staging_.at(row) = std::move(*memory);
  reach_->set_staging(row, staging_.at(row).get());
  return true;
}

void BluefieldEngines::staging_opened(size_t row, std::span<std::byte> staging) {
  staging_closing(row);
  if (keep_staging(row, BluefieldMemory::share(*device_, staging))) return;
  spdlog::warn(
      "the BlueField cannot be told of an engine's staging memory: this core copies for that engine");
}

bool BluefieldEngines::window_opened(size_t row, std::span<const std::byte> window) {
  staging_closing(row);
  return keep_staging(row, BluefieldMemory::import(*device_, window));
}

void BluefieldEngines::staging_closing(size_t row) {
  reach_->set_staging(row, nullptr);
  staging_.at(row).reset();
}

void BluefieldEngines::attend(Patient& patient, uint64_t now_ns) {
  if (patient.wait_ns == 0) {
    spdlog::warn("the BlueField's {} was lost; this core does its work until it is back", patient.name);
    patient.wait_ns = kReviveNsMin;
  }
  if (patient.revive()) {
    spdlog::info("the BlueField's {} works again", patient.name);
    patient.wait_ns = patient.next_ns = 0;
    return;
  }
  patient.next_ns = now_ns + patient.wait_ns;
  patient.wait_ns = std::min(2 * patient.wait_ns, kReviveNsMax);
}

bool BluefieldEngines::tend(uint64_t now_ns) {
  bool ill = false;
  for (Patient& patient : patients_) {
    if (!patient.lost()) continue;
    if (now_ns >= patient.next_ns) attend(patient, now_ns);
    ill = ill || patient.lost();
  }
  return ill;
}

}  // namespace shadowserve
