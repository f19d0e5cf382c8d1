// The files that a replay starts from: what a fuzzer would be given as its first corpus.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shadowserve {

struct Seed {
  std::string name;  ///< of the file, without extension
  std::vector<std::byte> bytes;
};

/// All files of `folder`, or those with this extension, by name: directories have no order, mutations need
/// one.
inline std::vector<Seed> read_seeds(const char* folder, std::string_view extension = {}) {
  std::vector<Seed> seeds;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (!extension.empty() && file.path().extension() != extension) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(chars));
    seeds.push_back({file.path().stem(), {bytes.begin(), bytes.end()}});
  }
  std::sort(seeds.begin(), seeds.end(), [](const Seed& a, const Seed& b) { return a.name < b.name; });
  return seeds;
}

}  // namespace shadowserve
