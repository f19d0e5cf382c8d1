// Fingerprints follow every byte that is sampled, and nothing else.
#include "control/model_fingerprint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace shadowserve {
namespace {

namespace fs = std::filesystem;

class FingerprintTest : public testing::Test {
 protected:
  FingerprintTest() : folder("/tmp/ss-fingerprint-" + std::to_string(getpid())) {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~FingerprintTest() override { fs::remove_all(folder); }
  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder / name, std::ios::binary) << bytes;
  }
  // One tensor of 100,000 bytes.
  std::string tensors(size_t changed = SIZE_MAX, const std::string& dtype = "BF16") {
    const std::string header =
        R"({"a":{"dtype":")" + dtype + R"(","shape":[50000],"data_offsets":[0,100000]}})";
    std::string file(8, '\0');
    for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> 8 * i);
    std::string data(100'000, 'x');
    if (changed != SIZE_MAX) data[changed] = 'y';
    return file + header + data;
  }
  std::string print(const std::string& extra = "") {
    const auto result = model_fingerprint(folder, extra);
    return result ? *result : std::string(error_name(result.error()));
  }
  const fs::path folder;
};

TEST_F(FingerprintTest, SafetensorsBySamplesOfEveryTensor) {
  write("config.json", "{}");
  write("model.safetensors", tensors());
  const std::string first = print();
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(print(), first);
  EXPECT_NE(print("lora"), first);
  for (size_t changed : {0ul, 4095ul, 50'000ul, 99'999ul}) {
    write("model.safetensors", tensors(changed));
    EXPECT_NE(print(), first) << changed;
  }
  write("model.safetensors", tensors(10'000));
  EXPECT_EQ(print(), first) << "between the samples";
  write("model.safetensors", tensors(SIZE_MAX, "F16 "));
  EXPECT_NE(print(), first);
  write("model.safetensors", tensors());
  write("config.json", "{ }");
  EXPECT_NE(print(), first);
}

TEST_F(FingerprintTest, OtherFormatsBySamplesOfTheFile) {
  std::string weights(10 << 20, 'w');
  write("model.gguf", weights);
  const std::string first = print();
  EXPECT_EQ(first.size(), 64u);
  weights.back() = 'v';
  write("model.gguf", weights);
  EXPECT_NE(print(), first);
  weights.back() = 'w';
  write("model.gguf", weights);
  EXPECT_EQ(print(), first);
  EXPECT_EQ(model_fingerprint(folder / "model.gguf", "").value(), first) << "the file itself will do";
  write("tiny.bin", "x");
  EXPECT_NE(print(), first);
}

TEST_F(FingerprintTest, TheWeightsAloneComeFromTheSamePass) {
  write("config.json", "{}");
  write("model.safetensors", tensors());
  const auto both = model_fingerprints(folder, "bfloat16");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->model, print("bfloat16"));
  EXPECT_EQ(both->weights, print());
  EXPECT_NE(both->model, both->weights) << "negative control";
  write("model.safetensors", tensors(100));
  EXPECT_NE(model_fingerprints(folder, "bfloat16")->weights, both->weights);
}

TEST_F(FingerprintTest, DamagedOrMissingWeightsAreRefused) {
  EXPECT_EQ(print(), "config");
  write("config.json", "{}");
  EXPECT_EQ(print(), "config");
  write("model.safetensors", "short");
  EXPECT_EQ(print(), "config");
  write("model.safetensors", std::string(8, '\xff') + "{}");
  EXPECT_EQ(print(), "config");
  std::string cut = tensors();
  cut.resize(cut.size() - 1);
  write("model.safetensors", cut);
  EXPECT_EQ(print(), "config") << "a tensor beyond the file's end";
  EXPECT_EQ(model_fingerprint(folder / "nowhere", "").error(), Error::kConfig);
}

}  // namespace
}  // namespace shadowserve
