// Options that the benches share: the KV cache that they code, and how often, where and for whom they run.
#pragma once

#include <cstdint>
#include <string>

#include "contract/limits.h"

namespace CLI {
class App;
}

namespace shadowserve {

/// The KV cache of a bench, in a file or made up.
struct DumpOptions {
  std::string input, shape, dtype;
  uint32_t chunk_tokens = kChunkTokensDefault;
  std::string calibration = {};

  bool made_up() const { return input.empty(); }
  /// For people: the file without its folders.
  std::string name() const;
  /// "kv.bin, 32x2x2048x8x128 bf16, chunks of 256 tokens"
  std::string text() const;
};

// What they are set to beforehand is the default that --help tells. All must outlive the parsing.

/// --shape, --input, --dtype and --calibration.
void add_dump_options(CLI::App& app, DumpOptions& dump);
void add_chunk_tokens_option(CLI::App& app, DumpOptions& dump);
void add_store_option(CLI::App& app, std::string& store);
void add_repetitions_option(CLI::App& app, int& repetitions, const std::string& help);
void add_core_option(CLI::App& app, int& core);
void add_json_option(CLI::App& app, std::string& json);

}  // namespace shadowserve
