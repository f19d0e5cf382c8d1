// The product's data plane in virtual time: fetches back to back through its own pipeline on a modelled
// machine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/calibrated/calibrated_model.h"
#include "sim/nic/link_store.h"
#include "sim/nic/nic_machine.h"

namespace shadowserve::nic {

/// The records of one chunk, which a simulated server holds and which are fetched again and again.
struct RecordSet {
  Profile profile;
  std::shared_ptr<const CalibratedModel> model;
  KvGeometry geometry;
  ChunkKey key{};
  RecordShelf shelf;
  uint64_t value_bytes = 0, record_bytes = 0;
  uint64_t coded_bytes = 0, symbol_bytes = 0, scale_bytes = 0;  ///< of all frames
  double ratio() const { return static_cast<double>(value_bytes) / static_cast<double>(record_bytes); }
};

/// Codes `chunk`, one chunk in canonical layout. Throws nothing; errors: kNoCapacity, kConfig.
Result<RecordSet> make_records(const Profile& profile, std::shared_ptr<const CalibratedModel> model,
                               const KvGeometry& geometry, std::span<const std::byte> chunk);
/// Made-up values of a layer's shape, bell-shaped with a few wide channels among them, as real caches have:
/// the width decides how small records become. The same for the same arguments.
std::vector<std::byte> made_up_chunk(const KvGeometry& geometry, float wide);

struct FetchPlan {
  double link_gbit_s = 0;                  ///< 0: records are there at once
  uint32_t cores = 0;                      ///< 0: all of the machine
  uint32_t window = 0;                     ///< parts asked for at once; 0: twice the slots
  uint64_t warm_parts = 100, parts = 600;  ///< answered before measuring, and until its end
  double patience_ms = 60'000;             ///< of each request, from when it is asked
  bool real_bytes = false;                 ///< engines decode and copy
  /// With real bytes: every part that was delivered, by its number.
  std::function<void(uint64_t, std::span<const std::byte>)> came = {};
};

struct FetchOutcome {
  double seconds = 0;  ///< between the answers that are measured
  double wire_gbit_s = 0, values_gb_s = 0;
  uint64_t asked = 0, answered = 0;                      ///< all, also before and after measuring
  std::vector<uint64_t> ended;                           ///< answers by Error
  uint64_t answered_twice = 0;                           ///< never
  uint64_t value_bytes = 0, wire_bytes = 0;              ///< as answers say, of all
  uint64_t plane_value_bytes = 0, plane_wire_bytes = 0;  ///< as the plane counted them
  uint64_t events = 0;
  double part_ms_p50 = 0, first_part_ms = 0,
         all_ms = 0;  ///< asked for to answered; from the start to the last
  double memory_gb_s = 0,
         memory_saturated = 0;  ///< mean traffic, and share of the time in which it was the limit
  double moved_per_byte = 0;    ///< the plane's own count
  std::vector<std::pair<std::string, double>> busy;  ///< share of a core's time by stage, over all cores
  double inflate_busy = 0, dma_busy = 0;
};

/// Errors: kConfig, kSystem when the plane cannot be made (`message` says why).
Result<FetchOutcome> simulate_fetches(const NicMachine& machine, const RecordSet& records,
                                      const FetchPlan& plan, std::string& message);

}  // namespace shadowserve::nic
