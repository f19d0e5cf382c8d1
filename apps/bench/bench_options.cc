// What the benches' shared options are called and what they take.
#include "bench/bench_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

namespace shadowserve {

std::string DumpOptions::name() const {
  return made_up() ? "made-up values" : std::filesystem::path(input).filename().string();
}

std::string DumpOptions::text() const {
  return fmt::format("{}, {} {}, chunks of {} tokens", name(), shape, dtype, chunk_tokens);
}

void add_dump_options(CLI::App& app, DumpOptions& dump) {
  CLI::Option* shape =
      app.add_option("--shape", dump.shape, "LAYERSx2xTOKENSxCHANNELS or LAYERSx2xTOKENSxHEADSxDIM");
  shape->capture_default_str();
  app.add_option("--input", dump.input, "a KV cache; made-up values without")
      ->type_name("FILE")
      ->needs(shape);
  app.add_option("--dtype", dump.dtype, "type of the elements")
      ->check(CLI::IsMember({"fp16", "bf16"}))
      ->capture_default_str();
  app.add_option("--calibration", dump.calibration,
                 "of the input's model, for near, balanced and far; made-up values bring their own")
      ->type_name("FILE");
}

void add_chunk_tokens_option(CLI::App& app, DumpOptions& dump) {
  app.add_option("--chunk-tokens", dump.chunk_tokens, "tokens of a chunk")
      ->check(CLI::Range(1u, kChunkTokensMax))
      ->capture_default_str();
}

void add_store_option(CLI::App& app, std::string& store) {
  app.add_option("--store", store, "redis (starts one), memory, or an address")->capture_default_str();
}

void add_repetitions_option(CLI::App& app, int& repetitions, const std::string& help) {
  app.add_option("--repetitions", repetitions, help)->check(CLI::Range(1, 1000))->capture_default_str();
}

void add_core_option(CLI::App& app, int& core) {
  app.add_option("--core", core, "core to run on; the last one without")->check(CLI::Range(0, 4095));
}

void add_json_option(CLI::App& app, std::string& json) {
  app.add_option("--json", json, "also write JSON; - for JSON alone on stdout")->type_name("FILE|-");
}

}  // namespace shadowserve
