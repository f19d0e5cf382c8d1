// Our coder on symbols of 1 to 4 bits, as the calibrated profiles will have them: one table or one for each
// of 16 classes of channels, wide values as escapes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "codec/rans/rans_frame.h"

namespace shadowserve {
namespace {

constexpr size_t kSymbols = kFrameBytesMax;
constexpr int kFramesARound = 40;
constexpr double kWideShare = 0.002;
constexpr int kCentre = 128;

/// Entropy of a normal distribution of this spread, rounded to whole numbers, when it is not very narrow.
double spread_of_bits(double bits) { return std::exp2(bits) / 4.1327; }

/// Classes differ in spread by a factor of four from the narrowest to the widest.
std::vector<uint8_t> draw_class(double bits, uint32_t number, uint32_t classes, std::mt19937& random) {
  const double place = classes == 1 ? 0.5 : number / (classes - 1.0);
  std::normal_distribution<double> normal(kCentre, spread_of_bits(bits) * std::exp2(2 * place - 1));
  std::bernoulli_distribution wide(kWideShare);
  std::vector<uint8_t> symbols(kSymbols / classes);
  for (auto& symbol : symbols) {
    const double value = wide(random) ? random() % 256 : std::round(normal(random));
    symbol = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
  }
  return symbols;
}

double entropy_bits(const SymbolCounts& counts, size_t total) {
  double bits = 0;
  for (const double count : counts) {
    if (count > 0) bits -= count * std::log2(count / static_cast<double>(total));
  }
  return bits;
}

class AlphabetTrial final : public Trial {
 public:
  AlphabetTrial(double bits, uint32_t classes) {
    row.table = kAlphabetTable;
    row.name = fmt::format("{:.0f} bit{}, {}", bits, bits == 1 ? "" : "s",
                           classes == 1 ? "one table" : fmt::format("{} tables", classes));
    std::mt19937 random(1);
    double ideal = 0, entropy = 0;
    for (uint32_t number = 0; number < classes; ++number) {
      const auto symbols = draw_class(bits, number, classes, random);
      SymbolCounts counts{};
      count_symbols(symbols, counts);
      segments_.push_back({static_cast<uint32_t>(symbols.size()), fit_rans_table(counts), std::nullopt});
      ideal += rans_bits(segments_.back().table, counts);
      entropy += entropy_bits(counts, symbols.size());
      symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
    }
    coded_.resize(2 * kSymbols);
    decoded_.resize(kSymbols);
    const double size = 8 * static_cast<double>(encode());
    const auto count = static_cast<double>(symbols_.size());
    row.facts = {{"bits_per_symbol", size / count},
                 {"size_over_table_ideal", size / ideal},
                 {"size_over_entropy", size / entropy}};
  }

  void repeat(bool counted) override {
    Stopwatch encoding, decoding;
    size_t size = 0;
    for (int frame = 0; frame < kFramesARound; ++frame) {
      encoding.start();
      size = encode();
      encoding.stop();
      decoding.start();
      const bool good = decode(size);
      decoding.stop();
      if (!good) throw WrongDecode(fmt::format("{}: cannot decode what it encoded", row.name));
    }
    expect_same(row.name, "the symbols", std::as_bytes(std::span(symbols_)),
                std::as_bytes(std::span(decoded_)));
    std::fill(decoded_.begin(), decoded_.end(), uint8_t{0});
    if (!counted) return;
    const double amount = static_cast<double>(symbols_.size()) * kFramesARound;
    add_rate("decode_gsym_s", amount, decoding.seconds());
    add_rate("encode_gsym_s", amount, encoding.seconds());
  }

 private:
  size_t encode() {
    const auto size = write_rans_frame(segments_, std::as_bytes(std::span(symbols_)), coded_);
    return size ? *size : 0;
  }
  bool decode(size_t size) {
    return reader_.read_all(std::span(coded_).first(size), std::as_writable_bytes(std::span(decoded_)))
        .has_value();
  }

  std::vector<RansSegment> segments_;
  std::vector<uint8_t> symbols_, decoded_;
  std::vector<std::byte> coded_;
  RansReader reader_;
};

}  // namespace

std::unique_ptr<Trial> alphabet_trial(double bits, uint32_t classes) {
  return std::make_unique<AlphabetTrial>(bits, classes);
}

}  // namespace shadowserve
