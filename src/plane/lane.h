// A lane: receiving and the compute stages of both directions with engines of their own, on one thread,
// sharing nothing.
#pragma once

#include <optional>

#include "codec/codec.h"
#include "codec/host_inflate_engine.h"
#include "plane/bluefield_engines.h"
#include "plane/compress/compress_stage.h"
#include "plane/copy_stage.h"
#include "plane/decompress/decompress_stage.h"
#include "plane/dequantize/dequantize_stage.h"
#include "plane/quantize/quantize_stage.h"
#include "plane/receive/receive_stage.h"
#include "plane/rescued_inflate_engine.h"
#include "plane/stage_loop.h"
#include "plane/unpack/unpack_stage.h"

namespace shadowserve {

/// Fetches are unpacked in one pass, or pass three stages where engines other than this core do the work; for
/// an engine with memory on a GPU the pass ends in the slot, and the GPU's copy engine delivers it. A slot
/// passes through one lane only, so what one stage wrote is still in this core's cache for the next. The
/// pipes below enter the lane; between its stages they stay on its thread.
class Lane {
 public:
  /// `store`: this lane's own client, used by its thread only. `device` stands in front of this core's
  /// engines; one that inflates REQUIRES separate stages.
  Lane(SlotPool& pool, const Clock& clock, StageLoop& loop, std::unique_ptr<RecordStore> store,
       bool separate_stages, const DeviceEngines& device = {})
      : to_receive(pool.size(), loop.doorbell()),
        to_collect(pool.size(), loop.doorbell()),
        to_decompress_(pool.size(), loop.doorbell()),
        to_dequantize_(pool.size(), loop.doorbell()),
        to_deliver_(pool.size(), loop.doorbell()),
        to_quantize_(pool.size(), loop.doorbell()),
        to_compress_(pool.size(), loop.doorbell()),
        store_(std::move(store)),
        receive_(pool, clock, *store_),
        inflate_(workspace_),
        decompress_(pool, clock, front_inflate(device.inflate, clock)),
        dequantize_(pool, clock, workspace_),
        deliver_(pool, clock, deliver_engines, CopyDirection::kDeliver),
        unpack_(pool, clock, inflate_, workspace_, speed_),
        separate_stages_(separate_stages),
        collect_(pool, clock, collect_engines, CopyDirection::kCollect),
        quantize_(pool, clock),
        compress_(pool, clock, workspace_) {
    // The wire is served first: what a socket holds back keeps the store waiting.
    receive_.add_input(to_receive);
    receive_.add_output(to_decompress_);
    loop.add(receive_);
    if (device.deliver != nullptr) deliver_engines.put_in_front(*device.deliver, clock);
    if (device.collect != nullptr) collect_engines.put_in_front(*device.collect, clock);
    collect_.add_input(to_collect);
    collect_.add_output(to_quantize_);
    quantize_.add_input(to_quantize_);
    quantize_.add_output(to_compress_);
    compress_.add_input(to_compress_);
    // Last stages first: finishing what is warm in the cache comes before starting something new.
    if (separate_stages) {
      decompress_.add_input(to_decompress_);
      decompress_.add_output(to_dequantize_);
      dequantize_.add_input(to_dequantize_);
      dequantize_.add_output(to_deliver_);
      for (Stage* stage : std::initializer_list<Stage*>{&deliver_, &dequantize_, &decompress_})
        loop.add(*stage);
    } else {
      unpack_.add_input(to_decompress_);
      for (Stage* stage : std::initializer_list<Stage*>{&deliver_, &unpack_}) loop.add(*stage);
    }
    deliver_.add_input(to_deliver_);
    for (Stage* stage : std::initializer_list<Stage*>{&compress_, &quantize_, &collect_}) loop.add(*stage);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  Pipe to_receive;
  Pipe to_collect;
  /// Engines of GPUs may join while the lane is running.
  CopyEngines deliver_engines;
  CopyEngines collect_engines;
  /// Where fetched slots leave the lane; called once.
  void add_fetched(Pipe& fetched) {
    if (!separate_stages_) {
      unpack_.add_output(fetched);      // UnpackStage::kDone
      unpack_.add_output(to_deliver_);  // UnpackStage::kToDeliver
    }
    deliver_.add_output(fetched);
  }
  /// Where slots to be stored leave the lane; called once.
  void add_compressed(Pipe& compressed) { compress_.add_output(compressed); }
  const LaneSpeed& speed() const { return speed_; }
  /// Null without a device in front. Its counters: any thread.
  const RescuedInflateEngine* rescued_inflate() const { return rescued_ ? &*rescued_ : nullptr; }
  uint64_t fetch_bytes_moved() const {
    uint64_t moved = 0;
    for (const Stage* stage :
         std::initializer_list<const Stage*>{&receive_, &decompress_, &dequantize_, &deliver_, &unpack_}) {
      moved += stage->counters().bytes_moved.read();
    }
    return moved;
  }

 private:
  InflateEngine& front_inflate(InflateEngine* device, const Clock& clock) {
    if (device == nullptr) return inflate_;
    return rescued_.emplace(*device, inflate_, clock);
  }

  Pipe to_decompress_;
  Pipe to_dequantize_;
  Pipe to_deliver_;
  Pipe to_quantize_;
  Pipe to_compress_;
  std::unique_ptr<RecordStore> store_;
  ReceiveStage receive_;
  CoderWorkspace workspace_;
  HostInflateEngine inflate_;
  std::optional<RescuedInflateEngine> rescued_;
  DecompressStage decompress_;
  DequantizeStage dequantize_;
  CopyStage deliver_;
  LaneSpeed speed_;
  UnpackStage unpack_;
  bool separate_stages_;
  CopyStage collect_;
  QuantizeStage quantize_;
  CompressStage compress_;
};

}  // namespace shadowserve
