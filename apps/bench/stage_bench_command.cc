// `shadowserve bench stage`: how fast every stage of the data plane is alone, on one core.
#include <fmt/format.h>

#include <filesystem>

#include "bench/bench_report.h"
#include "bench/bench_store.h"
#include "bench/stage_trials.h"
#include "build_commit.h"
#include "command.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve bench stage                               made-up values, kv4 three ways and raw
  shadowserve bench stage --profiles kv4,int8 --json result.json
  shadowserve bench stage --input kv.bin --shape 32x2x2048x8x128 --dtype bf16 --store memory

Every row is the very stage of the data plane with 16 slots that go round through it, on one core, stepped by hand.
Slots and staging memory are beyond the nearest caches, as they are in a data plane with much to do. "receive" and
"send" talk to a redis-server that is started for this, on loopback and on another core where there is one. Without
--input the values are made up: rates are real, sizes mean NOTHING for a model. What stages write is compared.)";

constexpr uint32_t kSlots = 16;
constexpr size_t kStagingBytes = 192u << 20;

struct StageOptions {
  std::string input, shape = "4x2x1024x8x128", dtype = "bf16", store = "redis", json;
  std::vector<std::string> profiles{"kv4", "kv4+deflate", "kv4+none", "raw"};
  uint32_t chunk_tokens = kChunkTokensDefault;
  int repetitions = 7, core = -1;
};

struct StageReport {
  BenchMachine machine;
  std::string store;
  std::vector<BenchRow> rows;
};

using Trials = std::vector<std::unique_ptr<Trial>>;

std::shared_ptr<RecordStore> client_of(StoreBackend& backend, const Clock& clock) {
  auto client = backend.client(clock, kSlots);
  if (!client) throw StartError("cannot open a client of " + backend.describe());
  return std::move(*client);
}

/// Rows of one profile, in the order in which a fetch and then a save meets them.
void add_stages(const std::shared_ptr<StageRig>& rig, BenchStore& store, BenchStore& memory,
                const Clock& clock, Trials& trials) {
  const auto add = [&](std::string name, StageKind kind, std::shared_ptr<RecordStore> client = {}) {
    trials.push_back(stage_trial(std::move(name), kind, rig, clock, std::move(client)));
  };
  // A client each, as in the data plane: what one asked is not the other's to collect.
  const auto client = [&](BenchStore& of) { return client_of(of.at_rate(0), clock); };
  rig->store_records(*client(store), clock);
  rig->store_records(*client(memory), clock);
  const bool two_stores = store.has_rates();
  if (two_stores) add("receive, redis", StageKind::kReceive, client(store));
  add("receive, memory store", StageKind::kReceive, client(memory));
  trials.push_back(open_trial(rig, SealKind::kXxh3));
  trials.push_back(open_trial(rig, SealKind::kGmac));
  add("decompress", StageKind::kDecompress);
  trials.back()->row.note = "opens the record as well";
  add("dequantize", StageKind::kDequantize);
  add("deliver", StageKind::kDeliver);
  add("unpack", StageKind::kUnpack);
  trials.back()->row.note = "open, decompress, dequantize, deliver in one pass: what the data plane does";
  add("collect", StageKind::kCollect);
  add("quantize", StageKind::kQuantize);
  add("compress", StageKind::kCompress);
  if (two_stores) add("send, redis", StageKind::kSend, client(store));
  add("send, memory store", StageKind::kSend, client(memory));
  trials.push_back(staging_copy_trial(rig));
}

StageReport run_trials(const StageOptions& options) {
  const std::vector<Profile> profiles = chosen_profiles(options.profiles);
  const auto input = load_bench_input(options.input, options.shape, options.dtype, options.chunk_tokens);
  const uint64_t bytes = kSlots * kRecordBytesMax * profiles.size();
  BenchStore store(options.store, bytes), memory("memory", bytes);
  StageReport report;
  report.store = store.name();
  std::vector<int> others = allowed_cores();
  report.machine = pin_and_describe(options.core);
  if (others.size() > 1) std::erase(others, report.machine.core);
  store.keep_server_to(others);
  const auto staging = make_bench_staging(kStagingBytes);
  const MonotonicClock clock;
  Trials trials;
  for (const Profile& profile : profiles) {
    const auto rig = std::make_shared<StageRig>(*input, profile, kSlots, staging);
    if (trials.empty()) {
      trials.push_back(stage_trial("null", StageKind::kNull, rig, clock));
      trials.back()->row.note = "the way through pipes and loop alone";
    }
    add_stages(rig, store, memory, clock, trials);
  }
  run_rounds(trials, options.repetitions);
  for (const auto& trial : trials) report.rows.push_back(trial->row);
  return report;
}

std::string with_spread(const BenchRow& row, const char* name) {
  for (const Measure& measure : row.measures) {
    if (measure.name != name) continue;
    const Spread spread = spread_of(measure.rates);
    return fmt::format("{:8.3f} ({:.2f}-{:.2f})", spread.median, spread.p25, spread.p75);
  }
  return "       -";
}

void print_stages(const StageOptions& options, const StageReport& report) {
  const BenchMachine& machine = report.machine;
  fmt::print(
      "bench stage: {}, {} {}, chunks of {} tokens; store: {}\n",
      options.input.empty() ? "made-up values" : std::filesystem::path(options.input).filename().string(),
      options.shape, options.dtype, options.chunk_tokens, report.store);
  fmt::print("on {}, {}, core {} of {}; {} repetitions in turns: median (middle half); commit {}\n",
             machine.cpu, machine.simd, machine.core, machine.cores, options.repetitions, SHADOWSERVE_COMMIT);
  if (machine.cores < 2) {
    fmt::print("redis-server and the stage share one core: what goes through Redis is a floor.\n");
  }
  const Spread null = spread_of(report.rows.front().measure(kSlotMeasure).rates);
  fmt::print("null stage: {:.0f} ns a slot ({:.0f}-{:.0f}), {}\n", null.median, null.p25, null.p75,
             report.rows.front().note);
  std::string table;
  for (const BenchRow& row : report.rows) {
    if (row.measures.front().name == kSlotMeasure) continue;
    if (row.table != table) {
      table = row.table;
      fmt::print("\n{:24} {:26} {:26}\n", table, "GB/s of values", "GB/s of records");
    }
    fmt::print("  {:22} {:26} {:26} {}\n", row.name, with_spread(row, kValuesMeasure),
               with_spread(row, kCompressedMeasure), row.note);
  }
}

nlohmann::ordered_json stages_json(const StageOptions& options, const StageReport& report) {
  nlohmann::ordered_json made;
  made["bench"] = "stage";
  made["commit"] = SHADOWSERVE_COMMIT;
  made["machine"] = machine_json(report.machine);
  made["input"] = {{"made_up", options.input.empty()},
                   {"shape", options.shape},
                   {"dtype", options.dtype},
                   {"chunk_tokens", options.chunk_tokens}};
  made["store"] = report.store;
  made["repetitions"] = options.repetitions;
  made["rows"] = nlohmann::ordered_json::array();
  for (const BenchRow& row : report.rows) made["rows"].push_back(row_json(row));
  return made;
}

int run_stages(const StageOptions& options) {
  const StageReport report = run_trials(options);
  if (options.json == "-") {
    fmt::print("{}\n", stages_json(options, report).dump(2));
    return 0;
  }
  print_stages(options, report);
  if (!options.json.empty()) write_text(options.json, stages_json(options, report).dump(2) + "\n");
  return 0;
}

}  // namespace

Command add_stage_bench_command(CLI::App& bench) {
  CLI::App* app = bench.add_subcommand("stage", "Rates of every stage of the data plane alone");
  app->footer(kFooter);
  const auto options = std::make_shared<StageOptions>();
  CLI::Option* shape =
      app->add_option("--shape", options->shape, "LAYERSx2xTOKENSxCHANNELS or LAYERSx2xTOKENSxHEADSxDIM");
  shape->capture_default_str();
  app->add_option("--input", options->input, "a KV cache; made-up values without")
      ->type_name("FILE")
      ->needs(shape);
  app->add_option("--dtype", options->dtype, "type of the elements")
      ->check(CLI::IsMember({"fp16", "bf16"}))
      ->capture_default_str();
  app->add_option("--profiles", options->profiles, "profiles to measure, with commas between")
      ->delimiter(',')
      ->type_name("NAMES")
      ->capture_default_str();
  app->add_option("--chunk-tokens", options->chunk_tokens, "tokens of a chunk")
      ->check(CLI::Range(1u, kChunkTokensMax))
      ->capture_default_str();
  app->add_option("--store", options->store, "redis (starts one), memory, or an address")
      ->capture_default_str();
  app->add_option("--repetitions", options->repetitions, "rounds, beside one to warm up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--core", options->core, "core to run on; the last one without")
      ->check(CLI::Range(0, 4095));
  app->add_option("--json", options->json, "also write JSON; - for JSON alone on stdout")
      ->type_name("FILE|-");
  return {app, [options] { return run_stages(*options); }};
}

}  // namespace shadowserve
