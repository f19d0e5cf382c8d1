// The bench for people: four tables, each with what it compares and how to read it.
#include <fmt/format.h>

#include <stdexcept>

#include "bench/bench_report.h"
#include "bench/bench_trials.h"

namespace shadowserve {
namespace {

std::string with_spread(const BenchRow& row, const std::string& measure) {
  const Measure* found = row.find_measure(measure);
  return found ? spread_text(*found, 6) : "-";
}

double median_of(const BenchRow& row, const std::string& measure) {
  return spread_of(row.measure(measure).rates).median;
}

void print_head(const BenchReport& report, std::FILE* out) {
  const BenchMachine& machine = report.machine;
  fmt::print(out, "bench codec: {}\n", report.dump.text());
  fmt::print(out, "on {}, {}, core {} of {}; {} repetitions in turns: median (middle half); commit {}\n",
             machine.cpu, machine.simd, machine.core, machine.cores, report.repetitions, report.commit);
  if (report.dump.made_up()) {
    fmt::print(
        out,
        "The values are made up: rates are real, but ratios and sizes mean NOTHING for a model. Give a KV "
        "cache with --input.\n");
  }
}

void print_profiles(const BenchReport& report, std::FILE* out) {
  fmt::print(out,
             "\n1. Profiles: GB/s of 16-bit values, one core, every decode compared with the scalar oracle's "
             "values.\n"
             "   ratio: values over records with everything counted (header, frame table, scales, seal).\n"
             "   compress includes sealing, decompress includes checking the record and its seal.\n"
             "   The steps run one after the other here; the data plane's single pass is in part 3.\n");
  fmt::print(out, "   {:17} {:>7}  {:20} {:>8} {:>8}  {:20} {:>10} {:>10}\n", "profile", "ratio", "encode",
             "quantize", "compress", "decode", "decompress", "dequantize");
  for (const BenchRow* row : report.table(kProfileTable)) {
    fmt::print(out, "   {:17} {:>6.3f}x  {:20} {:>8.2f} {:>8.2f}  {:20} {:>10.2f} {:>10.2f}\n", row->name,
               row->fact("ratio"), with_spread(*row, "encode_gb_s"), median_of(*row, "quantize_gb_s"),
               median_of(*row, "compress_gb_s"), with_spread(*row, "decode_gb_s"),
               median_of(*row, "decompress_gb_s"), median_of(*row, "dequantize_gb_s"));
  }
}

/// "zlib (bytes)" -> "zlib"; nothing for rows that come in one packing only.
std::string name_without(const std::string& name, const std::string& packing) {
  const std::string ending = " (" + packing + ")";
  return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : std::string();
}

/// Which packing each peer decodes faster.
void print_better_packing(const BenchReport& report, std::FILE* out) {
  std::string as_bytes, as_nibbles;
  for (const BenchRow* row : report.table(kCoderTable)) {
    const std::string name = name_without(row->name, "bytes");
    if (name.empty()) continue;
    for (const BenchRow* other : report.table(kCoderTable)) {
      if (name_without(other->name, "nibbles") != name) continue;
      const bool nibbles = median_of(*other, "decode_gsym_s") > median_of(*row, "decode_gsym_s");
      std::string& list = nibbles ? as_nibbles : as_bytes;
      list += (list.empty() ? "" : ", ") + name;
    }
  }
  fmt::print(out,
             "   decodes faster with two symbols a byte: {}\n   decodes faster with one symbol a byte: {}\n",
             as_nibbles.empty() ? "none" : as_nibbles, as_bytes.empty() ? "none" : as_bytes);
}

void print_coders(const BenchReport& report, std::FILE* out) {
  fmt::print(out,
             "\n2. Coders and peers on the same symbols of kv4, frame by frame as records cut them: 10^9 "
             "symbols/s.\n"
             "   over ideal: size over an order-0 ideal code with free statistics of each frame ({:.4f} bits "
             "a symbol).\n"
             "   nibbles: two symbols a byte; bytes: one. Ours code what the record packs; kv4's own choice "
             "is {}.\n",
             report.ideal_bits_per_symbol, report.default_coder);
  fmt::print(out, "   {:32} {:>8} {:>10}  {:22} {:22} {}\n", "coder", "bits/sym", "over ideal", "decode",
             "encode", "");
  for (const BenchRow* row : report.table(kCoderTable)) {
    const bool sized = !row->facts.empty();
    fmt::print(out, "   {:32} {:>8} {:>10}  {:22} {:22} {}\n", row->name,
               sized ? fmt::format("{:.3f}", row->fact("bits_per_symbol")) : "-",
               sized ? fmt::format("{:.4f}", row->fact("size_over_ideal")) : "-",
               with_spread(*row, "decode_gsym_s"), with_spread(*row, "encode_gsym_s"), row->note);
  }
  print_better_packing(report, out);
  for (const std::string& name : report.missing)
    fmt::print(out, "   left out, not there when this was built: {}\n", name);
}

void print_pages(const BenchReport& report, std::FILE* out) {
  fmt::print(out,
             "\n3. To pages: opened kv4 records to 16-bit values in DRAM, GB/s of values, one core (no "
             "network, no seal).\n"
             "   The destination is larger than the caches. Compared with the limit, {}.\n",
             kMemcpyName);
  fmt::print(out, "   {:38} {:24} {:>12}  {}\n", "path", "GB/s", "of memcpy", "");
  const Measure& limit = report.row(kPageTable, kMemcpyName).measure("gb_s");
  for (const BenchRow* row : report.table(kPageTable)) {
    fmt::print(out, "   {:38} {:24} {:>11.1f}%  {}\n", row->name, with_spread(*row, "gb_s"),
               100 * paired_ratio(row->measure("gb_s"), limit), row->note);
  }
  const BenchRow& ours = report.default_pages();
  fmt::print(out, "   {} decodes to pages {:.2f} times as fast as {}.\n", ours.name,
             paired_ratio(ours.measure("gb_s"), report.row(kPageTable, kIsalPathName).measure("gb_s")),
             kIsalPathName);
}

void print_alphabets(const BenchReport& report, std::FILE* out) {
  fmt::print(out,
             "\n4. Alphabets: our coder on normally distributed symbols, two in a thousand wide (escapes), "
             "frames of "
             "256 KiB.\n"
             "   over table: size over the ideal code length under the same tables; over entropy: with any "
             "tables.\n");
  fmt::print(out, "   {:22} {:>8} {:>10} {:>12}  {:22} {:22}\n", "symbols of", "bits/sym", "over table",
             "over entropy", "decode, 10^9/s", "encode, 10^9/s");
  for (const BenchRow* row : report.table(kAlphabetTable)) {
    fmt::print(out, "   {:22} {:>8.3f} {:>10.4f} {:>12.4f}  {:22} {:22}\n", row->name,
               row->fact("bits_per_symbol"), row->fact("size_over_table_ideal"),
               row->fact("size_over_entropy"), with_spread(*row, "decode_gsym_s"),
               with_spread(*row, "encode_gsym_s"));
  }
}

}  // namespace

std::vector<const BenchRow*> BenchReport::table(const std::string& name) const {
  std::vector<const BenchRow*> found;
  for (const BenchRow& row : rows) {
    if (row.table == name) found.push_back(&row);
  }
  return found;
}

const BenchRow& BenchReport::row(const std::string& wanted_table, const std::string& name) const {
  for (const BenchRow& row : rows) {
    if (row.table == wanted_table && row.name == name) return row;
  }
  throw std::logic_error(fmt::format("no row {} in {}", name, wanted_table));
}

const BenchRow& BenchReport::default_pages() const { return row(kPageTable, "kv4+" + default_coder); }
const BenchRow& BenchReport::default_coder_row() const { return row(kCoderTable, "ours: " + default_coder); }

void print_bench(const BenchReport& report, std::FILE* out) {
  print_head(report, out);
  print_profiles(report, out);
  print_coders(report, out);
  print_pages(report, out);
  print_alphabets(report, out);
}

}  // namespace shadowserve
