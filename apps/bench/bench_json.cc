// The bench for programs: every rate of every repetition's spread, and the few ratios that stand for all.
#include <fmt/format.h>

#include <fstream>

#include "bench/bench_report.h"
#include "bench/bench_trials.h"
#include "command.h"

namespace shadowserve {
namespace {

nlohmann::ordered_json row_json(const BenchRow& row) {
  nlohmann::ordered_json made{{"table", row.table}, {"name", row.name}};
  if (!row.note.empty()) made["note"] = row.note;
  for (const auto& [name, value] : row.facts) made[name] = value;
  for (const Measure& measure : row.measures) {
    const Spread spread = spread_of(measure.rates);
    made[measure.name] = {{"median", spread.median}, {"p25", spread.p25}, {"p75", spread.p75}};
  }
  return made;
}

nlohmann::ordered_json machine_json(const BenchMachine& machine) {
  return {{"cpu", machine.cpu},
          {"simd", machine.simd},
          {"cores", machine.cores},
          {"core", machine.core},
          {"last_level_cache_bytes", machine.last_level_cache_bytes}};
}

}  // namespace

nlohmann::ordered_json json_head(const char* bench, const std::string& commit, const BenchMachine& machine,
                                 const DumpOptions& dump) {
  return {{"bench", bench},
          {"commit", commit},
          {"machine", machine_json(machine)},
          {"input",
           {{"name", dump.name()},
            {"made_up", dump.made_up()},
            {"shape", dump.shape},
            {"dtype", dump.dtype},
            {"chunk_tokens", dump.chunk_tokens}}}};
}

nlohmann::ordered_json rows_json(const std::vector<BenchRow>& rows) {
  nlohmann::ordered_json made = nlohmann::ordered_json::array();
  for (const BenchRow& row : rows) made.push_back(row_json(row));
  return made;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.flush();
  if (!out) throw StartError(fmt::format("cannot write {}: is there room, and may you write there?", path));
}

void show_report(const std::string& json, const nlohmann::ordered_json& made,
                 const std::function<void()>& print) {
  if (json == "-") {
    fmt::print("{}\n", made.dump(2));
    return;
  }
  print();
  if (!json.empty()) write_text(json, made.dump(2) + "\n");
}

namespace {

nlohmann::ordered_json ratios_json(const BenchReport& report) {
  const Measure& ours = report.default_pages().measure("gb_s");
  nlohmann::ordered_json compression = nlohmann::ordered_json::object();
  for (const BenchRow* row : report.table(kProfileTable)) compression[row->name] = row->fact("ratio");
  return {{"decode_over_isal", paired_ratio(ours, report.row(kPageTable, kIsalPathName).measure("gb_s"))},
          {"decode_over_memcpy", paired_ratio(ours, report.row(kPageTable, kMemcpyName).measure("gb_s"))},
          {"decode_gsym_per_s", spread_of(report.default_coder_row().measure("decode_gsym_s").rates).median},
          {"encode_gsym_per_s", spread_of(report.default_coder_row().measure("encode_gsym_s").rates).median},
          {"size_over_ideal", report.default_coder_row().fact("size_over_ideal")},
          {"compression", compression}};
}

}  // namespace

nlohmann::ordered_json bench_json(const BenchReport& report) {
  nlohmann::ordered_json made = json_head("codec", report.commit, report.machine, report.dump);
  made["repetitions"] = report.repetitions;
  made["default_coder"] = report.default_coder;
  made["ideal_bits_per_symbol"] = report.ideal_bits_per_symbol;
  made["missing_peers"] = report.missing;
  made["ratios"] = ratios_json(report);
  made["rows"] = rows_json(report.rows);
  return made;
}

}  // namespace shadowserve
