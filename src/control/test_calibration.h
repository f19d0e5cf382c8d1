// Test only: the golden calibration, whose model is that of one_part_options(), as files that can be changed.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "chunk/chunk_key.h"

namespace shadowserve {

/// 2 layers of 2 heads x 16 in bf16, fingerprint 00 01 .. 1f, points near, balanced and far.
inline std::string golden_calibration() {
  const auto checkout = std::filesystem::path(__FILE__).parent_path() / "../..";
  std::ifstream in(checkout / "tests/golden/tiny.cal", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// With a SHA-256 that fits.
inline std::string sealed_calibration(std::string bytes) {
  const size_t body = bytes.size() - sizeof(ChunkKey);
  auto* const hash = reinterpret_cast<unsigned char*>(bytes.data() + body);
  EXPECT_EQ(EVP_Digest(bytes.data(), body, hash, nullptr, EVP_sha256(), nullptr), 1);
  return bytes;
}

/// The same model's, with the scalar of the first point changed: another calibration.
inline std::string other_calibration() {
  constexpr size_t kScalarAt = 68 + 16;
  std::string bytes = golden_calibration();
  bytes[kScalarAt + 2] ^= 1;
  return sealed_calibration(bytes);
}

/// A file that is gone with its object.
class TestCalibrationFile {
 public:
  explicit TestCalibrationFile(const std::string& bytes) {
    static int number = 0;
    path_ = "/tmp/ss-calibration-" + std::to_string(getpid()) + "-" + std::to_string(++number);
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TestCalibrationFile() { std::filesystem::remove(path_); }
  TestCalibrationFile(const TestCalibrationFile&) = delete;
  TestCalibrationFile& operator=(const TestCalibrationFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace shadowserve
