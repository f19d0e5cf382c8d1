// Hugging Face configurations name the same numbers in a few ways; multimodal ones keep them one level
// deeper.
#include "plan_model.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "contract/limits.h"

namespace shadowserve {
namespace {

using nlohmann::json;

uint32_t number(const json& config, const char* name, const std::string& folder) {
  const auto found = config.find(name);
  if (found == config.end() || !found->is_number_unsigned()) {
    throw StartError(fmt::format(
        "{}/config.json has no number {}: give the shape with --shape LAYERSxHEADSxDIM", folder, name));
  }
  return found->get<uint32_t>();
}

KvGeometry checked(KvGeometry geometry, const std::string& from) {
  if (geometry.validate()) return geometry;
  throw StartError(fmt::format("{}: {} layers of {} heads of {} are no shape that records can hold", from,
                               geometry.layers, geometry.kv_heads, geometry.head_dim));
}

}  // namespace

KvGeometry model_geometry(const std::string& folder) {
  std::ifstream file(folder + "/config.json");
  if (!file) throw StartError(fmt::format("{} has no config.json: is it a model's folder?", folder));
  json config = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) throw StartError(fmt::format("{}/config.json is not JSON", folder));
  if (config.contains("text_config")) config = json(config["text_config"]);
  KvGeometry geometry;
  geometry.layers = number(config, "num_hidden_layers", folder);
  const uint32_t heads = number(config, "num_attention_heads", folder);
  geometry.kv_heads =
      config.contains("num_key_value_heads") ? number(config, "num_key_value_heads", folder) : heads;
  geometry.head_dim = config.contains("head_dim")
                          ? number(config, "head_dim", folder)
                          : number(config, "hidden_size", folder) / std::max(heads, 1u);
  geometry.chunk_tokens = kChunkTokensDefault;
  geometry.element = config.value("torch_dtype", config.value("dtype", "bfloat16")) == "float16"
                         ? ElementType::kFp16
                         : ElementType::kBf16;
  return checked(geometry, folder);
}

KvGeometry parse_geometry(const std::string& text) {
  uint32_t numbers[3] = {};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int i = 0; i < 3; ++i) {
    const auto [next, error] = std::from_chars(at, end, numbers[i]);
    const bool separated = i == 2 ? next == end : next != end && *next == 'x';
    if (error != std::errc() || !separated) {
      throw StartError(
          fmt::format("--shape {} is not LAYERSxKV_HEADSxHEAD_DIM: Llama-3.1-8B is 32x8x128", text));
    }
    at = next + 1;
  }
  KvGeometry geometry;
  geometry.layers = numbers[0];
  geometry.kv_heads = numbers[1];
  geometry.head_dim = numbers[2];
  geometry.chunk_tokens = kChunkTokensDefault;
  geometry.element = ElementType::kBf16;
  return checked(geometry, "--shape " + text);
}

}  // namespace shadowserve
