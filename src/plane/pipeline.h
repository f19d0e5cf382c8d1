// The pipeline: all stages wired together over a store, on as many loops as there are cores.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/device_memory.h"
#include "plane/admit_stage.h"
#include "plane/bluefield_engines.h"
#include "plane/lane.h"
#include "plane/lookup_stage.h"
#include "plane/reply_stage.h"
#include "plane/send/send_stage.h"
#include "plane/stage_loop.h"
#include "store/record_store.h"

namespace shadowserve {

struct PipelineOptions {
  std::vector<int> cores;  ///< empty: one unpinned loop
  uint32_t fetch_slots = 16;
  uint32_t save_slots = 6;
  uint32_t spin_us = 30;
  bool pin_memory = true;
  /// Decompress, dequantize and deliver as stages of their own, as hardware engines need it, instead of in
  /// one pass.
  bool separate_stages = false;
  /// Who inflates and copies: "host", "bluefield" (the first one), "bluefield@0000:03:00.0". Implies separate
  /// stages if it is not the host.
  std::string engines = "host";
  /// Instead of these: what stands in front of each lane's core, and lives longer than the pipeline.
  std::function<DeviceEngines(size_t lane)> device_engines = {};
};

/// Every loop has a lane, which receives its records over a connection of its own and unpacks them; fetches
/// are divided by what lanes achieve. The first loop also admits, looks up, sends and replies. Saves keep to
/// the other lanes where there are any. Can be stepped by hand with a virtual clock (no threads).
class Pipeline {
 public:
  /// Takes all memory. `message` on failure is a sentence for a person.
  static Result<std::unique_ptr<Pipeline>> create(const PipelineOptions& options, StoreBackend& backend,
                                                  const Clock& clock, std::span<Session> sessions,
                                                  std::string& message);
  ~Pipeline();

  /// Before the first session with memory on this GPU: tells the driver of the slots, and gives every lane
  /// copy engines. Main thread; the lanes may be running. Blocks, the first time for up to a second. On
  /// failure `message` is a sentence for a person.
  Result<void> prepare_device(int device, std::string& message);

  /// What the main thread has to do for hardware engines; null without any.
  HardwareCare* care() { return bluefield_.get(); }

  void start();
  void stop();
  /// One turn of every loop by hand; returns how many things moved.
  uint32_t step_once();

  Doorbell& doorbell() { return loops_.front()->doorbell(); }
  const SlotPool& slots() const { return slots_; }
  const Funnels& funnels() const { return funnels_; }
  const std::vector<std::unique_ptr<StageLoop>>& loops() const { return loops_; }
  /// One for each loop, in the same order.
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }
  /// Memory traffic of everything fetched so far.
  uint64_t fetch_bytes_moved() const;

 private:
  Pipeline(SlotPool slots, const Clock& clock) : slots_(std::move(slots)), clock_(clock) {}
  using Clients = std::vector<std::unique_ptr<RecordStore>>;
  Result<void> open_engines(const PipelineOptions& options, size_t loops, std::string& message);
  void wire(const PipelineOptions& options, Clients fetch_stores, std::span<Session> sessions);

  // Members die in reverse: engines before what they copy from.
  SlotPool slots_;
  RegisteredMemory registered_;
  std::unique_ptr<BluefieldEngines> bluefield_;
  const Clock& clock_;
  Funnels funnels_;
  std::unique_ptr<RecordStore> save_store_;
  std::unique_ptr<RecordStore> lookup_store_;
  std::vector<std::unique_ptr<StageLoop>> loops_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<Pipe>> pipes_;
  LaneLedger ledger_;
  std::vector<Pipe*> to_receive_;
  std::vector<Pipe*> to_collect_;
  std::unique_ptr<LookupStage> lookup_;
  std::unique_ptr<AdmitStage> admit_;
  std::unique_ptr<SendStage> send_;
  std::unique_ptr<ReplyStage> reply_;
};

}  // namespace shadowserve
