// A finished run of the codec bench, and the three ways to show it: a table, JSON, a picture.
#pragma once

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_options.h"
#include "bench/trial.h"

namespace shadowserve {

/// Where the bench ran.
struct BenchMachine {
  std::string cpu, simd;
  int cores = 0;  ///< that this process may use
  int core = 0;   ///< that the bench was pinned to
  size_t last_level_cache_bytes = 0;
};

/// Without pinning anything; `core` is -1.
BenchMachine describe_machine();
/// Cores that this process may use.
std::vector<int> allowed_cores();
/// Keeps our own kernels to instructions up to "AVX2", "SSE4", ... as an older processor has them; peers
/// choose for themselves. Throws StartError, which names what there is.
void limit_simd(const std::string& name);

/// Pins the calling thread to `core`, or to the last one it may use when that is negative. Throws StartError.
BenchMachine pin_and_describe(int core);

/// What the JSON of every bench begins with: its name, the commit, where it ran and on what.
nlohmann::ordered_json json_head(const char* bench, const std::string& commit, const BenchMachine& machine,
                                 const DumpOptions& dump);
/// Name, note, facts, and the middle and spread of every measure of each row.
nlohmann::ordered_json rows_json(const std::vector<BenchRow>& rows);
/// Throws StartError.
void write_text(const std::string& path, const std::string& text);
/// JSON alone on stdout when `json` (of --json) is "-"; else `print` is called, and a path gets the JSON.
/// Throws StartError.
void show_report(const std::string& json, const nlohmann::ordered_json& made,
                 const std::function<void()>& print);

struct BenchReport {
  BenchMachine machine;
  std::string commit;
  DumpOptions dump;  ///< with the chunk_tokens that there were
  int repetitions = 0;
  std::string default_coder;  ///< kv4's own choice
  double ideal_bits_per_symbol = 0;
  std::vector<std::string> missing;  ///< peers that were not built in
  std::vector<BenchRow> rows;

  std::vector<const BenchRow*> table(const std::string& name) const;
  /// REQUIRES that there is one.
  const BenchRow& row(const std::string& table, const std::string& name) const;
  /// kv4 with its own choice of coder.
  const BenchRow& default_pages() const;
  const BenchRow& default_coder_row() const;
};

void print_bench(const BenchReport& report, std::FILE* out);
nlohmann::ordered_json bench_json(const BenchReport& report);
/// A picture that needs nothing beside it: what each coder decodes a second, and how much larger than ideal
/// its output is.
std::string bench_svg(const BenchReport& report);

}  // namespace shadowserve
