// Models of a SmartNIC's decompression and DMA engines, behind the product's own seams.
#pragma once

#include <deque>
#include <memory>

#include "codec/codec.h"
#include "sim/nic/nic_machine.h"
#include "sim/nic/service_center.h"
#include "world/copy_engine.h"
#include "world/inflate_engine.h"

namespace shadowserve::nic {

/// One decompression engine. Every lane has a queue of its own into it.
class InflateDevice {
 public:
  /// `decodes`: symbols are really made, by this core and in no time; otherwise they are whatever the slot
  /// held, which is all the same to everything that is simulated.
  InflateDevice(VirtualWorld& world, const EngineModel& model, bool decodes)
      : model_(model), decodes_(decodes), center_(world, model.units, model.latency_ns) {}
  /// `completed` is called after each of this queue's tasks. The queue must not outlive the device.
  std::unique_ptr<InflateEngine> queue(std::function<void()> completed);
  double busy_ns() const { return center_.busy_ns(); }

 private:
  class Queue;
  EngineModel model_;
  bool decodes_;
  CoderWorkspace workspace_;
  ServiceCenter center_;
};

/// One DMA engine that copies out of the NIC's memory: it reads there and writes elsewhere.
class DmaDevice {
 public:
  /// `copies`: bytes are really copied.
  DmaDevice(VirtualWorld& world, const EngineModel& model, bool copies)
      : model_(model), copies_(copies), center_(world, model.units, model.latency_ns) {}
  std::unique_ptr<CopyEngine> queue(std::function<void()> completed);
  double busy_ns() const { return center_.busy_ns(); }

 private:
  class Queue;
  EngineModel model_;
  bool copies_;
  ServiceCenter center_;
};

}  // namespace shadowserve::nic
