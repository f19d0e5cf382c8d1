// Store addresses: what is understood, and what the errors suggest.
#include "store/store_url.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "store/record_store.h"

namespace shadowserve {
namespace {

StoreUrl parsed(std::string_view url) {
  std::string message;
  const auto out = parse_store_url(url, message);
  EXPECT_TRUE(out) << url << ": " << message;
  return out.value_or(StoreUrl{});
}

/// "host:port host:port"
std::string names(const StoreUrl& url) {
  std::string text;
  for (const StoreServer& server : url.servers) text += (text.empty() ? "" : " ") + server.name();
  return text;
}

std::string refused(std::string_view url) {
  std::string message;
  const auto out = parse_store_url(url, message);
  EXPECT_FALSE(out) << url;
  EXPECT_FALSE(message.empty());
  return message;
}

TEST(StoreUrl, UnderstandsRocksdb) {
  const StoreUrl url = parsed("rocksdb:/var/cache/kv%20records?limit=20GB&evict=fifo");
  EXPECT_EQ(url.scheme, StoreUrl::Scheme::kRocksdb);
  EXPECT_EQ(url.path, "/var/cache/kv records");
  EXPECT_EQ(url.limit_bytes, 20'000'000'000u);
  EXPECT_TRUE(url.evict_fifo);
  EXPECT_FALSE(parsed("rocksdb:/x?evict=lru").evict_fifo);
  EXPECT_EQ(parsed("rocksdb:///x").path, "/x");
  EXPECT_EQ(parsed("rocksdb:/x").limit_bytes, 0u);
}

TEST(StoreUrl, UnderstandsRedis) {
  const StoreUrl url = parsed("redis://kv%40host:p%3Aa%2Fs%25s@cache.example:7000/3");
  EXPECT_EQ(url.scheme, StoreUrl::Scheme::kRedis);
  EXPECT_EQ(url.user, "kv@host");
  EXPECT_EQ(url.password, "p:a/s%s");
  EXPECT_EQ(names(url), "cache.example:7000");
  EXPECT_EQ(url.database, 3u);
  EXPECT_EQ(names(parsed("REDIS://h")), "h:6379");
  EXPECT_EQ(parsed("redis://:secret@h/").password, "secret");
  EXPECT_EQ(parsed("redis://[::1]:6380").servers.at(0).host, "::1");
  EXPECT_EQ(parsed("redis://[::1]:6380").servers.at(0).port, 6380);
}

TEST(StoreUrl, UnderstandsSeveralServers) {
  const StoreUrl url = parsed("redis://:a%2Cb@one,two:7000,[::1],[::1]:7000/3?rate=20gbit");
  EXPECT_EQ(names(url), "one:6379 two:7000 [::1]:6379 [::1]:7000");
  EXPECT_EQ(url.password, "a,b");
  EXPECT_EQ(url.database, 3u);
  EXPECT_EQ(url.rate_bits_per_s, 20'000'000'000u);
  std::string many = "redis://h0";
  for (int i = 1; i < 64; ++i) many += fmt::format(",h{}", i);
  EXPECT_EQ(parsed(many).servers.size(), 64u);
  EXPECT_NE(refused(many + ",h64").find("more than 64"), std::string::npos);
  EXPECT_NE(refused("redis://one,two,one:6379").find("one:6379 twice"), std::string::npos);
}

TEST(StoreUrl, UnderstandsRates) {
  EXPECT_EQ(parsed("redis://h?rate=10gbit").rate_bits_per_s, 10'000'000'000u);
  EXPECT_EQ(parsed("redis://h:1/2?rate=2.5Gbit").rate_bits_per_s, 2'500'000'000u);
  EXPECT_EQ(parsed("redis://h?rate=200mbit").rate_bits_per_s, 200'000'000u);
  EXPECT_EQ(parsed("redis://h").rate_bits_per_s, 0u);
  EXPECT_EQ(format_bit_rate(10'000'000'000), "10gbit");
  EXPECT_EQ(format_bit_rate(2'500'000'000), "2.5gbit");
  EXPECT_EQ(format_bit_rate(200'000'000), "200mbit");
}

TEST(StoreUrl, UnderstandsMemory) {
  EXPECT_EQ(parsed("memory:").scheme, StoreUrl::Scheme::kMemory);
  EXPECT_EQ(parsed("memory:?limit=1GiB").limit_bytes, 1u << 30);
}

TEST(StoreUrl, SuggestsTheNearestName) {
  EXPECT_NE(refused("rocksbd:/x").find("\"rocksdb\"?"), std::string::npos);
  EXPECT_NE(refused("reddis://h").find("\"redis\"?"), std::string::npos);
  EXPECT_NE(refused("rocksdb:/x?limt=3GB").find("\"limit\"?"), std::string::npos);
  EXPECT_NE(refused("rocksdb:/x?evict=filo").find("\"fifo\"?"), std::string::npos);
  EXPECT_NE(refused("redis://h?rat=3gbit").find("\"rate\"?"), std::string::npos);
  EXPECT_NE(refused("redis://h?rate=3gbits").find("\"gbit\"?"), std::string::npos);
  EXPECT_NE(refused("redis://h?rate=3mb").find("\"mbit\"?"), std::string::npos);
  EXPECT_NE(refused("redis://h?rate=3").find("rate=10gbit"), std::string::npos);
  EXPECT_NE(refused("s3://bucket").find("rocksdb, redis, memory"), std::string::npos);
  EXPECT_NE(refused("rediss://h").find("TLS"), std::string::npos);
}

TEST(StoreUrl, RefusesWhatItDoesNotUnderstand) {
  for (const char* url : {"",
                          "rocksdb",
                          "rocksdb:",
                          "redis:h",
                          "redis://",
                          "redis://:6379",
                          "redis://h:0",
                          "redis://h:70000",
                          "redis://h:x",
                          "redis://h/x",
                          "redis://secret@h",
                          "redis://:a%2@h",
                          "redis://:a%zz@h",
                          "redis://h?limit=1GB",
                          "redis://h?rate=",
                          "redis://h?rate=gbit",
                          "redis://h?rate=-1gbit",
                          "redis://h?rate=0gbit",
                          "redis://h?rate=0.1mbit",
                          "redis://h?rate=20000gbit",
                          "redis://h?rate=1.2.3gbit",
                          "redis://h?rate=nan",
                          "memory:?rate=1gbit",
                          "redis://a,",
                          "redis://,a",
                          "redis://a,,b",
                          "redis://a:1,b:0",
                          "redis://a,b:x",
                          "redis://u:p@a,u:p@b",
                          "redis://[::1",
                          "redis://[::1]x",
                          "memory:/x",
                          "memory:?limit=",
                          "memory:?limit=0",
                          "memory:?limit=1XB",
                          "memory:?limit=-1",
                          "memory:?limit=99999999999999999999",
                          "memory:?limit=99999999PB",
                          "rocksdb:/x?evict="}) {
    refused(url);
  }
}

TEST(StoreUrl, ReadsByteSizes) {
  EXPECT_EQ(parse_byte_size("1"), 1u);
  EXPECT_EQ(parse_byte_size("512MB"), 512'000'000u);
  EXPECT_EQ(parse_byte_size("512mib"), 512u << 20);
  EXPECT_EQ(parse_byte_size("3k"), 3000u);
  EXPECT_EQ(parse_byte_size("2TB"), 2'000'000'000'000u);
  EXPECT_FALSE(parse_byte_size("MB"));
  EXPECT_FALSE(parse_byte_size("1.5GB"));
  EXPECT_EQ(format_byte_size(999), "999 B");
  EXPECT_EQ(format_byte_size(10'700'000'000), "10.7 GB");
}

TEST(StoreUrl, DescribesAStoreWithoutItsPassword) {
  std::string message;
  const auto store = open_store("redis://u:secret@127.0.0.1:1/2", message);
  ASSERT_TRUE(store) << message;
  EXPECT_EQ((*store)->describe(), "redis://127.0.0.1:1/2");
  const auto several = open_store("redis://u:secret@127.0.0.1:1,[::1]:2/2?rate=2.5gbit", message);
  ASSERT_TRUE(several) << message;
  EXPECT_EQ((*several)->describe(), "redis://127.0.0.1:1,[::1]:2/2?rate=2.5gbit");
}

TEST(StoreUrl, SaysThatAHostDoesNotExist) {
  std::string message;
  EXPECT_FALSE(open_store("redis://no-such-host.invalid", message));
  EXPECT_NE(message.find("no-such-host.invalid"), std::string::npos) << message;
}

}  // namespace
}  // namespace shadowserve
