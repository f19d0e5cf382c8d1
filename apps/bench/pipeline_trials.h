// The rows that `shadowserve bench pipeline` prints: a whole data plane under a link rate on some cores, and
// each of its stages alone on the same cores.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/bench_store.h"
#include "bench/stage_circle.h"
#include "bench/stage_rig.h"
#include "bench/trial.h"

namespace shadowserve {

// Names of tables and measures, which are also those of the JSON.
inline constexpr const char* kPointTable = "pipeline";
inline constexpr const char* kAloneTable = "stages alone";
inline constexpr const char* kReceiveTable = "receive options";  ///< but for the first, which the others have
inline constexpr const char* kDelivered = "delivered_gb_s";
inline constexpr const char* kCompressedGbit = "compressed_gbit_s";
inline constexpr const char* kPerCore = "compressed_gbit_per_core";
inline constexpr const char* kLinkShare = "share_of_link";
inline constexpr const char* kMovedPerByte = "bytes_moved_per_byte_delivered";
inline constexpr const char* kAllocations = "allocations_after_start";
/// Share of their time that the plane's threads were ready and something else had their core.
inline constexpr const char* kWaited = "waited_for_core";
inline constexpr const char* kResidentBefore = "resident_mib_before";
inline constexpr const char* kResidentAfter = "resident_mib_after";
inline constexpr const char* kChunkP50 = "chunk_ms_p50";
inline constexpr const char* kChunkP99 = "chunk_ms_p99";
inline constexpr const char* kBusyPrefix = "busy ";  ///< before "<thread> <stage>"
// Facts.
inline constexpr const char* kLinkGbit = "link_gbit_s";  ///< not there: no limit
inline constexpr const char* kCores = "cores";

struct PipelineBenchOptions {
  DumpOptions dump{.input = {}, .shape = "32x2x1024x8x128", .dtype = "bf16"};
  std::string profile = "kv4", store = "redis", json, plot;
  std::vector<double> rates;  ///< Gbit/s; 0 = unlimited; empty: as many as the store can do
  std::vector<uint32_t> cores;
  std::vector<std::string> receive{"sockets"};  ///< see ReceiveChoice; all but the first only beside it
  uint32_t fetch_slots = 16;
  double seconds = 2;
  int repetitions = 5;
  bool separate_stages = false;
};

/// What all rows share. Made once; by then everything is saved, through a data plane.
class PipelineBench {
 public:
  /// Throws StartError, and WrongDecode.
  explicit PipelineBench(const PipelineBenchOptions& options);

  const PipelineBenchOptions& options() const { return options_; }
  BenchInput& input() { return *input_; }
  const ProfileChoice& choice() const { return choice_; }
  const Profile& profile() const { return choice_.profile; }
  BenchStore& store() { return *store_; }
  const Clock& clock() const { return clock_; }
  const std::shared_ptr<SharedRegion>& staging() const { return staging_; }
  uint32_t window() const { return 2 * options_.fetch_slots; }
  /// What a straight decode of the stored record of this part gives.
  std::span<const std::byte> expected(uint32_t part) const { return expected_[part]; }
  /// Values over records, all of them.
  double ratio() const { return ratio_; }

  /// The plane's cores are the last ones; client and server get the others, or all when these are
  /// too few.
  std::vector<int> plane_cores(uint32_t count) const;
  void keep_others_off(uint32_t plane_cores) const;
  /// Whether plane, client and server have a core each.
  bool enough_cores(uint32_t plane_cores) const;
  uint32_t machine_cores() const { return static_cast<uint32_t>(allowed_.size()); }

 private:
  void read_back();
  PipelineBenchOptions options_;
  ProfileChoice choice_;
  std::vector<int> allowed_;
  MonotonicClock clock_;
  std::unique_ptr<BenchInput> input_;
  std::unique_ptr<BenchStore> store_;
  std::shared_ptr<SharedRegion> staging_;
  std::vector<std::vector<std::byte>> expected_;
  double ratio_ = 0;
};

/// A whole data plane, made anew for each repetition, that fetches back to back. 0 = no limit.
std::unique_ptr<Trial> plane_trial(PipelineBench& bench, double gbit_per_s, uint32_t cores,
                                   const std::string& receive);
/// One stage alone: receive on the first of so many cores, any other on each of them.
std::unique_ptr<Trial> alone_trial(PipelineBench& bench, StageKind kind, uint32_t cores,
                                   std::shared_ptr<StageRig> rig, const std::string& receive);

}  // namespace shadowserve
