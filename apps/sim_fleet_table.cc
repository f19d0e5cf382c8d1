// Simulated fleets as tables for people.
#include <fmt/format.h>

#include <functional>

#include "sim_fleet_report.h"

namespace shadowserve {
namespace {

using fleet::FleetResult;
using fleet::Usage;

double seconds(int64_t duration_ns) { return static_cast<double>(duration_ns) * 1e-9; }
std::string percent(double part) { return fmt::format("{:.1f} %", 100 * part); }

std::string dollars(double value) {
  return value != 0 && value < 0.1 ? fmt::format("${:.5f}", value) : fmt::format("${:.3f}", value);
}

std::string three(const fleet::DurationHistogram& times, double unit_s, int digits) {
  if (times.count() == 0) return "-";
  return fmt::format("{:.{}f} / {:.{}f} / {:.{}f}", seconds(times.percentile_ns(0.5)) / unit_s, digits,
                     seconds(times.percentile_ns(0.9)) / unit_s, digits,
                     seconds(times.percentile_ns(0.99)) / unit_s, digits);
}

std::string tokens_of(const FleetResult& result, uint64_t tokens) {
  const double all = static_cast<double>(std::max<uint64_t>(result.input_tokens, 1));
  return fmt::format("{:.1f} M, {}", static_cast<double>(tokens) * 1e-6,
                     percent(static_cast<double>(tokens) / all));
}

std::string usage(const Usage& used) {
  return used.count == 0 ? "-" : fmt::format("{} / {}", percent(used.mean), percent(used.max));
}

using Cell = std::function<std::string(const FleetRun&)>;

class Table {
 public:
  Table(const FleetPair& pair, std::FILE* out) : pair_(pair), out_(out) {}
  void head() const {
    fmt::print(out_, "{:36}{:>30}{:>30}\n", "", "with the store", pair_.recomputed ? "recompute only" : "");
  }
  void row(const char* name, const Cell& cell, bool store_only = false) const {
    fmt::print(out_, "{:36}{:>30}{:>30}\n", name, cell(pair_.stored),
               pair_.recomputed ? store_only ? "-" : cell(*pair_.recomputed) : "");
  }

 private:
  const FleetPair& pair_;
  std::FILE* out_;
};

void print_requests(const Table& table) {
  table.row("requests arrived", [](const FleetRun& run) { return with_commas(run.result.arrived); });
  table.row("  done, open, refused", [](const FleetRun& run) {
    return fmt::format("{}, {}, {}", with_commas(run.result.done), with_commas(run.result.open),
                       with_commas(run.result.refused));
  });
  table.row("prompt tokens", [](const FleetRun& run) {
    return fmt::format("{:.1f} M", static_cast<double>(run.result.input_tokens) * 1e-6);
  });
  table.row("  from the engine's own cache",
            [](const FleetRun& run) { return tokens_of(run.result, run.result.local_tokens); });
  table.row("  from the store",
            [](const FleetRun& run) { return tokens_of(run.result, run.result.remote_tokens); });
  table.row("  computed",
            [](const FleetRun& run) { return tokens_of(run.result, run.result.computed_tokens); });
  table.row("TTFT p50 / p90 / p99, s", [](const FleetRun& run) { return three(run.result.ttft, 1, 3); });
  table.row("TPOT p50 / p90 / p99, ms", [](const FleetRun& run) { return three(run.result.tpot, 1e-3, 1); });
}

void print_loads(const Table& table, const fleet::FleetOptions& options) {
  table.row(
      "a fetch p50 / p90 / p99, s", [](const FleetRun& run) { return three(run.result.fetch, 1, 3); }, true);
  table.row(
      "  fetches, late, of these broken",
      [](const FleetRun& run) {
        return fmt::format("{}, {}, {}", with_commas(run.result.fetches),
                           with_commas(run.result.fetches_late), with_commas(run.result.fetches_broken));
      },
      true);
  table.row(
      "fetched, saved, TB",
      [](const FleetRun& run) {
        return fmt::format("{:.3f}, {:.3f}", static_cast<double>(run.result.fetched_bytes) * 1e-12,
                           static_cast<double>(run.result.saved_bytes) * 1e-12);
      },
      true);
  table.row("busy, mean / max: engines", [](const FleetRun& run) { return usage(run.result.engine); });
  table.row("  prefill", [](const FleetRun& run) { return usage(run.result.prefill); });
  table.row(
      "  NICs, in", [](const FleetRun& run) { return usage(run.result.nic_in); }, true);
  table.row(
      "  NICs, out", [](const FleetRun& run) { return usage(run.result.nic_out); }, true);
  if (options.rack_count() > 0) {
    table.row(
        "  racks, in", [](const FleetRun& run) { return usage(run.result.rack_in); }, true);
  }
  table.row(
      "  shards, out", [](const FleetRun& run) { return usage(run.result.shard_out); }, true);
  table.row(
      "  shards, in", [](const FleetRun& run) { return usage(run.result.shard_in); }, true);
  table.row(
      "stored of, GB",
      [](const FleetRun& run) {
        return fmt::format("{:.0f} of {:.0f}", run.result.stored_gb, run.result.store_gb);
      },
      true);
  if (options.shard_faults.between_s + options.nic_faults.between_s + options.slow_faults.between_s > 0) {
    table.row(
        "failures", [](const FleetRun& run) { return with_commas(run.result.failures); }, true);
    table.row(
        "  lookups without an answer",
        [](const FleetRun& run) { return with_commas(run.result.lookups_unanswered); }, true);
  }
}

void print_costs(const Table& table) {
  table.row("cost per million tokens",
            [](const FleetRun& run) { return dollars(run.cost().per_million_tokens); });
  table.row("  of it engines' prefill",
            [](const FleetRun& run) { return dollars(run.cost().prefill_per_million_tokens); });
  table.row("  of it NICs, store, links",
            [](const FleetRun& run) { return dollars(run.cost().store_per_million_tokens); });
  table.row(
      "cost per 1,000 hits (chunks)",
      [](const FleetRun& run) { return dollars(run.cost().per_thousand_hits); }, true);
  table.row("  per 1,000 chunks computed",
            [](const FleetRun& run) { return dollars(run.cost().per_thousand_computed); });
}

void print_end(const FleetRun& run, const char* name, std::FILE* out) {
  fmt::print(out, "{}: {} events in {:.1f} s, {:.0f} s of virtual time, fingerprint {:016x}{}\n", name,
             with_commas(run.result.events), run.wall_s, run.result.seconds, run.result.fingerprint(),
             run.result.complete ? "" : "; STOPPED before its end");
}

}  // namespace

std::string with_commas(uint64_t count) {
  std::string made = std::to_string(count);
  for (auto place = std::ssize(made) - 3; place > 0; place -= 3) made.insert(made.begin() + place, ',');
  return made;
}

std::string workload_name(const fleet::WorkloadOptions& workload) {
  switch (workload.kind) {
    case fleet::WorkloadKind::kChat:
      return "chat";
    case fleet::WorkloadKind::kDocuments:
      return "documents";
    case fleet::WorkloadKind::kTrace:
      break;
  }
  return "trace";
}

const char* routing_name(fleet::Routing routing) {
  switch (routing) {
    case fleet::Routing::kRoundRobin:
      return "round-robin";
    case fleet::Routing::kSticky:
      return "sticky";
    case fleet::Routing::kLeastLoaded:
      break;
  }
  return "least-loaded";
}

void print_fleet(const FleetPair& pair, const std::string& commit, std::FILE* out) {
  const fleet::FleetOptions& options = pair.stored.options;
  fmt::print(out,
             "sim fleet: {} engines ({}), {} NICs of {:g} Gbit/s, {} shards; {}, {}; seed {}; commit {}\n",
             with_commas(options.engines), options.engine_name, with_commas(options.nic_count()),
             options.network.nic_gbit, with_commas(options.shard_count()), workload_name(options.workload),
             routing_name(options.workload.routing), options.seed, commit);
  const Table table(pair, out);
  table.head();
  print_requests(table);
  print_loads(table, options);
  print_costs(table);
  print_end(pair.stored, "with the store", out);
  if (pair.recomputed) print_end(*pair.recomputed, "recompute only", out);
}

void print_sweep(const FleetReport& report, std::FILE* out) {
  fmt::print(out, "{:>8} {:>7} {:>12} {:>8} {:>8} {:>12} {:>10} {:>18} {:>18} {:>10} {:>8}\n", "engines",
             "shards", "requests", "local", "store", "per 1,000", "per M", "TTFT p50, p99, s", "recomputed",
             "shards out", "wall, s");
  for (const FleetPair& pair : report.pairs) {
    const FleetResult& result = pair.stored.result;
    const fleet::Cost cost = pair.stored.cost();
    const auto ttft = [](const FleetResult& of) {
      return fmt::format("{:.3f}, {:.3f}", seconds(of.ttft.percentile_ns(0.5)),
                         seconds(of.ttft.percentile_ns(0.99)));
    };
    fmt::print(out, "{:>8} {:>7} {:>12} {:>8} {:>8} {:>12} {:>10} {:>18} {:>18} {:>10} {:>8.1f}{}\n",
               with_commas(pair.stored.options.engines), with_commas(pair.stored.options.shard_count()),
               with_commas(result.done), percent(result.hit_rate() - result.remote_rate()),
               percent(result.remote_rate()), dollars(cost.per_thousand_hits),
               dollars(cost.per_million_tokens), ttft(result),
               pair.recomputed ? ttft(pair.recomputed->result) : "-", percent(result.shard_out.mean),
               pair.stored.wall_s + (pair.recomputed ? pair.recomputed->wall_s : 0),
               result.complete && (!pair.recomputed || pair.recomputed->result.complete) ? "" : "  STOPPED");
  }
  fmt::print(out,
             "local, store: part of the prompts' tokens. per 1,000: NICs, store and links per 1,000 chunks "
             "fetched.\n");
}

}  // namespace shadowserve
