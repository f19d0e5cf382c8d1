// Samples weight files into one SHA-256.
#include "control/model_fingerprint.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "chunk/chunk_key.h"

namespace shadowserve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTensorSample = 4096;
constexpr size_t kFileSample = 64 << 10;
constexpr uint64_t kFileSamples = 64;
constexpr uint64_t kHeaderMax = 256 << 20;  // a real one has some hundred bytes a tensor

// Every field is length-framed: two different lists of fields never feed the same bytes.
class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void add_number(uint64_t number) {
    std::array<uint8_t, 8> bytes;
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(number >> 8 * i);
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  void add(std::string_view bytes) {
    add_number(bytes.size());
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string hex() {
    ChunkKey digest;
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return to_hex(digest);
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// Two that differ in one field only.
struct Digests {
  Digest model, weights;
  void add_number(uint64_t number) {
    for (Digest* each : {&model, &weights}) each->add_number(number);
  }
  void add(std::string_view bytes) {
    for (Digest* each : {&model, &weights}) each->add(bytes);
  }
};

class WeightFile {
 public:
  explicit WeightFile(const fs::path& path) : stream_(path, std::ios::binary) {
    std::error_code failed;
    size_ = fs::file_size(path, failed);
    readable_ = stream_.good() && !failed;
  }
  bool readable() const { return readable_; }
  uint64_t size() const { return size_; }
  /// At most `bytes` from `offset`, fewer at the file's end.
  std::string read(uint64_t offset, uint64_t bytes) {
    std::string text(std::min(bytes, offset < size_ ? size_ - offset : 0), '\0');
    stream_.clear();
    stream_.seekg(static_cast<std::streamoff>(offset));
    stream_.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (static_cast<uint64_t>(stream_.gcount()) != text.size()) readable_ = false;
    return text;
  }

 private:
  std::ifstream stream_;
  uint64_t size_ = 0;
  bool readable_ = false;
};

bool add_safetensors(Digests& digest, WeightFile& file) {
  const std::string prefix = file.read(0, 8);
  uint64_t header_bytes = 0;
  for (size_t i = prefix.size(); i-- > 0;) header_bytes = header_bytes << 8 | static_cast<uint8_t>(prefix[i]);
  if (prefix.size() != 8 || header_bytes > std::min(kHeaderMax, file.size() - 8)) return false;
  const std::string header = file.read(8, header_bytes);
  digest.add_number(file.size());
  digest.add(header);
  const auto tensors = nlohmann::json::parse(header, nullptr, false);
  if (!tensors.is_object()) return false;
  for (const auto& [name, tensor] : tensors.items()) {
    if (name == "__metadata__") continue;
    const auto offsets = tensor.is_object() ? tensor.find("data_offsets") : tensor.end();
    if (offsets == tensor.end() || !offsets->is_array() || offsets->size() != 2 ||
        !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
      return false;
    }
    const uint64_t begin = (*offsets)[0].get<uint64_t>(), end = (*offsets)[1].get<uint64_t>();
    if (begin > end || end > file.size() - 8 - header_bytes) return false;
    const uint64_t start = 8 + header_bytes + begin, size = end - begin;
    const uint64_t sample = std::min<uint64_t>(kTensorSample, size);
    digest.add(name);
    digest.add(file.read(start, sample));
    digest.add(file.read(start + (size - sample) / 2, sample));
    digest.add(file.read(start + size - sample, sample));
  }
  return file.readable();
}

bool add_samples(Digests& digest, WeightFile& file) {
  digest.add_number(file.size());
  const uint64_t last = file.size() > kFileSample ? file.size() - kFileSample : 0;
  for (uint64_t sample = 0; sample < kFileSamples; ++sample) {
    // Division first: a product of two sizes could overflow only beyond any disk, but it costs nothing.
    digest.add(file.read(last / (kFileSamples - 1) * sample, kFileSample));
  }
  digest.add(file.read(last, kFileSample));
  return file.readable();
}

std::vector<fs::path> weight_files(const fs::path& path, std::initializer_list<std::string_view> endings) {
  const auto fits = [&endings](const fs::path& file) {
    return std::find(endings.begin(), endings.end(), file.extension().string()) != endings.end();
  };
  std::vector<fs::path> files;
  std::error_code failed;
  if (fs::is_regular_file(path, failed) && fits(path)) files.push_back(path);
  for (fs::directory_iterator each(path, failed), end; !failed && each != end; each.increment(failed)) {
    std::error_code unreadable;
    if (fs::is_regular_file(each->path(), unreadable) && fits(each->path())) files.push_back(each->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Result<std::string> model_fingerprint(const fs::path& path, std::string_view extra) {
  auto both = model_fingerprints(path, extra);
  if (!both) return fail(both.error());
  return std::move(both->model);
}

Result<ModelFingerprints> model_fingerprints(const fs::path& path, std::string_view extra) {
  Digests digest;
  digest.add("shadowserve model fingerprint 1");
  digest.model.add(extra);
  digest.weights.add({});
  WeightFile config(path / "config.json");
  digest.add(config.readable() ? config.read(0, config.size()) : std::string());
  std::vector<fs::path> files = weight_files(path, {".safetensors"});
  const bool safetensors = !files.empty();
  if (!safetensors) files = weight_files(path, {".bin", ".gguf", ".pt", ".pth"});
  if (files.empty()) return fail(Error::kConfig);
  for (const fs::path& name : files) {
    WeightFile file(name);
    if (!file.readable()) return fail(Error::kConfig);
    if (safetensors ? !add_safetensors(digest, file) : !add_samples(digest, file))
      return fail(Error::kConfig);
  }
  return ModelFingerprints{digest.model.hex(), digest.weights.hex()};
}

}  // namespace shadowserve
