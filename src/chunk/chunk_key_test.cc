// Chunk keys: golden values, separation by every field, and their text forms. tests/golden/chunk_keys.py
// derives the same golden values from the documentation alone.
#include "chunk/chunk_key.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace shadowserve {
namespace {

KeySpace sample_space() {
  KeySpace space;
  space.model_fingerprint = "model-a";
  space.profile = "kv4";
  space.geometry = {32, 8, 128, 256, ElementType::kBf16};
  return space;
}

std::vector<uint32_t> counting(uint32_t first, size_t count) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(ChunkKey, GoldenValues) {
  KeySpace space = sample_space();
  const ChunkKey root = root_key(space);
  EXPECT_EQ(to_hex(root), "1c31f8cb13f6142c4d1b32eda15e314b33e70db0dc688a1f3eb230e1b780b62c");
  EXPECT_EQ(to_hex(seal_key(space)), "edfc61c801d2c4f4c1418e6df9e8003cfb4b8d5a0efd5bfb85c46eda47c28863");
  const ChunkKey first = next_chunk_key(root, counting(0, 256));
  EXPECT_EQ(to_hex(first), "08316f35541773d588b7f6ae5ad27055e0127aa1caa858d66b1a5947d7b89ec5");
  EXPECT_EQ(to_hex(next_chunk_key(first, counting(1000, 256))),
            "e2bcf8f97dca4c8e77239e662e449daa81cd3f09ad6af6c259a11a91dc09d52d");
  EXPECT_EQ(to_hex(next_chunk_key(first, counting(1000, 256), bytes_of("lora:legal"))),
            "89c8a4feb3eb8c57e70e02a6ceecfc4fc24ba5e8bd6f9ca8171ae37a778b7064");
  EXPECT_EQ(to_hex(next_chunk_key(root, {})),
            "8269af3c9eeeecc4f548fa9c7e7b174b279e645028c4d9ec13c1a16580876cd1");
  space.tenant_salt = "tenant secret";
  EXPECT_EQ(to_hex(root_key(space)), "81e005cfa7cd0c23481ab69abe3ef986c5fd61591913890f6872f4d443c48e0b");
  EXPECT_EQ(to_hex(seal_key(space)), "8785b5c90f09f178d4d6ab7f47ba88fe9d49c433b84994a899a26df7a3bf1ad7");
  space = sample_space();
  space.shard = 1;
  space.shard_count = 2;
  space.geometry.element = ElementType::kFp16;
  EXPECT_EQ(to_hex(root_key(space)), "2aca11a5c5e67b04e4bcd9c7c4e7d5dc002028432bf863b4a4d4ab78315d95a3");
}

TEST(ChunkKey, ShardsOfAChunkHaveKeysOfTheirOwn) {
  KeySpace space = sample_space();
  space.shard_count = 2;
  const ChunkKey chunk = next_chunk_key(root_key(space), counting(0, 256));
  EXPECT_EQ(to_hex(shard_key(chunk, 0)), "0696a225d159ab5b481124fd8781e123f73594df9fcbb3a0d6e4f47aa631f292");
  EXPECT_EQ(to_hex(shard_key(chunk, 1)), "fe9a7d9821540b4b586a956f7a65cdd01bff34d76d5843f75511a4de0f230bdb");
  // Neither another shard's, nor the chunk's own, nor that of a model which is split otherwise.
  std::set<ChunkKey> keys = {chunk};
  for (uint32_t shard = 0; shard < 8; ++shard) keys.insert(shard_key(chunk, shard));
  space.shard_count = 4;
  const ChunkKey of_four = next_chunk_key(root_key(space), counting(0, 256));
  keys.insert(of_four);
  for (uint32_t shard = 0; shard < 4; ++shard) keys.insert(shard_key(of_four, shard));
  EXPECT_EQ(keys.size(), 1u + 8u + 1u + 4u);
}

TEST(ChunkKey, GoldenValuesOfOtherCaches) {
  KeySpace space = sample_space();
  space.geometry.element = ElementType::kFp8E4M3;
  EXPECT_EQ(to_hex(root_key(space)), "73acaaa05f783ef5507febeae0389fb3d05370c1eb251517c7ddf6befdf4e7c3");
  space.geometry.element = ElementType::kFp8E5M2;
  EXPECT_EQ(to_hex(root_key(space)), "fa65aa125eaf3b20843476a72761cc14f7730a825d404b21e8db4319b8c8a300");
  space.geometry = {61, 1, 576, 256, ElementType::kBf16, 1};
  EXPECT_EQ(to_hex(root_key(space)), "ac9302e465cfc1e277807dd9d47641f6e0d29e50cbbf5afb45ce8f2246b6b162");
}

TEST(ChunkKey, EveryFieldSeparates) {
  std::vector<KeySpace> spaces(1, sample_space());
  const auto changed = [&](auto change) {
    spaces.push_back(sample_space());
    change(spaces.back());
  };
  changed([](KeySpace& s) { s.model_fingerprint = "model-b"; });
  changed([](KeySpace& s) { s.profile = "kv4+deflate"; });
  changed([](KeySpace& s) { s.tenant_salt = "x"; });
  changed([](KeySpace& s) { s.shard = 1; });
  changed([](KeySpace& s) { s.shard_count = 2; });
  changed([](KeySpace& s) { s.geometry.layers = 33; });
  changed([](KeySpace& s) { s.geometry.kv_heads = 9; });
  changed([](KeySpace& s) { s.geometry.head_dim = 129; });
  changed([](KeySpace& s) { s.geometry.chunk_tokens = 128; });
  changed([](KeySpace& s) { s.geometry.element = ElementType::kFp16; });
  changed([](KeySpace& s) { s.geometry.element = ElementType::kFp8E4M3; });
  changed([](KeySpace& s) { s.geometry.element = ElementType::kFp8E5M2; });
  changed([](KeySpace& s) { s.geometry.planes_per_layer = 1; });
  // Bytes that move from one field to its neighbour.
  changed([](KeySpace& s) { s.model_fingerprint = "model-ak", s.profile = "v4"; });
  changed([](KeySpace& s) { s.profile = "kv", s.tenant_salt = "4"; });
  std::set<ChunkKey> keys;
  for (const KeySpace& space : spaces) {
    keys.insert(root_key(space));
    keys.insert(seal_key(space));
  }
  EXPECT_EQ(keys.size(), 2 * spaces.size());
  EXPECT_EQ(root_key(sample_space()), root_key(sample_space()));  // and nothing else separates
}

TEST(ChunkKey, ParentTokensAndExtraSeparate) {
  const ChunkKey root = root_key(sample_space());
  const auto tokens = counting(5, 16);
  auto swapped = tokens;
  std::swap(swapped[3], swapped[4]);
  const uint32_t as_extra[] = {20};
  std::set<ChunkKey> keys;
  keys.insert(next_chunk_key(root, tokens));
  keys.insert(next_chunk_key(ChunkKey{}, tokens));
  keys.insert(next_chunk_key(root, swapped));
  keys.insert(next_chunk_key(root, counting(5, 15)));
  keys.insert(next_chunk_key(root, counting(5, 15), std::as_bytes(std::span(as_extra))));
  keys.insert(next_chunk_key(root, tokens, bytes_of("a")));
  EXPECT_EQ(keys.size(), 6u);
}

TEST(ChunkKey, SealKeyTellsWhetherThereIsASalt) {
  for (int i = 0; i < 64; ++i) {
    KeySpace space = sample_space();
    space.model_fingerprint += std::to_string(i);
    EXPECT_EQ(std::to_integer<int>(seal_key(space).back()) & 0x80, 0);
    space.tenant_salt = "s";
    EXPECT_EQ(std::to_integer<int>(seal_key(space).back()) & 0x80, 0x80);
  }
}

TEST(ChunkKey, ThreadsAgree) {
  const ChunkKey expected = next_chunk_key(root_key(sample_space()), counting(0, 256));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&count, &expected] {
      for (int i = 0; i < 500; ++i) {
        count += next_chunk_key(root_key(sample_space()), counting(0, 256)) != expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::accumulate(wrong.begin(), wrong.end(), 0), 0);
}

TEST(ChunkKey, Hex) {
  const ChunkKey key = root_key(sample_space());
  EXPECT_EQ(*key_from_hex(to_hex(key)), key);
  EXPECT_TRUE(key_from_hex(std::string(64, 'F')));
  for (const std::string& bad :
       {std::string(), std::string(63, '0'), std::string(66, '0'), std::string(63, '0') + "g",
        "0x" + std::string(62, '0'), std::string(64, ' '), "-1" + std::string(62, '0'),
        "+1" + std::string(62, '0')}) {
    EXPECT_FALSE(key_from_hex(bad)) << bad;
  }
}

TEST(StoreKey, Text) {
  EXPECT_EQ(StoreKey().view(), "");
  const ChunkKey key = root_key(sample_space());
  EXPECT_EQ(StoreKey(key, 7).view(), "ss1:" + to_hex(key) + ":7");
  EXPECT_EQ(StoreKey(key, UINT32_MAX).view(), "ss1:" + to_hex(key) + ":4294967295");
}

}  // namespace
}  // namespace shadowserve
