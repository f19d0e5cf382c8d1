// `shadowserve bench stage`: how fast every stage of the data plane is alone, on one core.
#include <fmt/format.h>

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
  DumpOptions dump{.input = {}, .shape = "4x2x1024x8x128", .dtype = "bf16"};
  std::string store = "redis", json;
  std::vector<std::string> profiles{"kv4", "kv4+deflate", "kv4+none", "raw"};
  int repetitions = 7, core = -1;
};

struct StageReport {
  BenchMachine machine;
  std::string store;
  std::vector<BenchRow> rows;
};

/// Rows of one profile, in the order in which a fetch and then a save meets them.
void add_stages(const std::shared_ptr<StageRig>& rig, BenchStore& store, BenchStore& memory,
                const Clock& clock, Trials& trials) {
  const auto add = [&](std::string name, StageKind kind, std::shared_ptr<RecordStore> client = {}) {
    trials.push_back(stage_trial(std::move(name), kind, rig, clock, std::move(client)));
  };
  // A client each, as in the data plane: what one asked is not the other's to collect.
  const auto client = [&](BenchStore& of) { return of.client(clock, kSlots); };
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
  const auto input = load_bench_input(options.dump);
  const std::vector<ProfileChoice> profiles = chosen_profiles(options.profiles, options.dump, *input);
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
  for (const ProfileChoice& choice : profiles) {
    const auto rig = std::make_shared<StageRig>(*input, choice, kSlots, staging);
    if (trials.empty()) {
      trials.push_back(stage_trial("null", StageKind::kNull, rig, clock));
      trials.back()->row.note = "the way through pipes and loop alone";
    }
    add_stages(rig, store, memory, clock, trials);
  }
  report.rows = run_rounds(trials, options.repetitions);
  return report;
}

std::string with_spread(const BenchRow& row, const char* name) {
  const Measure* found = row.find_measure(name);
  return found ? spread_text(*found, 8) : "       -";
}

void print_stages(const StageOptions& options, const StageReport& report) {
  const BenchMachine& machine = report.machine;
  fmt::print("bench stage: {}; store: {}\n", options.dump.text(), report.store);
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
  nlohmann::ordered_json made = json_head("stage", SHADOWSERVE_COMMIT, report.machine, options.dump);
  made["input"].erase("name");
  made["store"] = report.store;
  made["repetitions"] = options.repetitions;
  made["rows"] = rows_json(report.rows);
  return made;
}

int run_stages(const StageOptions& options) {
  const StageReport report = run_trials(options);
  show_report(options.json, stages_json(options, report), [&] { print_stages(options, report); });
  return 0;
}

}  // namespace

Command add_stage_bench_command(CLI::App& bench) {
  CLI::App* app = bench.add_subcommand("stage", "Rates of every stage of the data plane alone");
  app->footer(kFooter);
  const auto options = std::make_shared<StageOptions>();
  add_dump_options(*app, options->dump);
  app->add_option("--profiles", options->profiles, "profiles to measure, with commas between")
      ->delimiter(',')
      ->type_name("NAMES")
      ->capture_default_str();
  add_chunk_tokens_option(*app, options->dump);
  add_store_option(*app, options->store);
  add_repetitions_option(*app, options->repetitions, "rounds, beside one to warm up");
  add_core_option(*app, options->core);
  add_json_option(*app, options->json);
  return {app, [options] { return run_stages(*options); }};
}

}  // namespace shadowserve
