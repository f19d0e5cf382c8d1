// The shared part of all clients of one RESP server.
#include "store/redis_store.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>

#include "store/redis_client.h"
#include "store/redis_dial.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

void add_command(RedisTarget& target, std::initializer_list<std::string_view> words) {
  std::string text(4096, '\0');
  text.resize(write_resp_command(text, words));
  target.greeting += text;
  ++target.greeting_replies;
}

class RedisBackend final : public StoreBackend {
 public:
  explicit RedisBackend(std::shared_ptr<const RedisTarget> target) : target_(std::move(target)) {}
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override {
    // Said at start so that later lines, written on the client's thread, find the logger warmed up.
    spdlog::debug("store {}: connecting", target_->name);
    return std::make_unique<RedisClient>(target_, clock, depth);
  }
  Usage usage() const override { return {}; }
  std::string describe() const override {
    const auto& bucket = target_->options.bucket;
    return bucket ? fmt::format("{}?rate={}", target_->name, format_bit_rate(bucket->bits_per_s()))
                  : target_->name;
  }

 private:
  std::shared_ptr<const RedisTarget> target_;
};

}  // namespace

Result<std::unique_ptr<StoreBackend>> open_redis_store(const RedisOptions& options, std::string& message) {
  if (options.user.size() + options.password.size() > 2048) {
    message = "user and password of the store are longer than 2048 bytes";
    return fail(Error::kConfig);
  }
  auto target = std::make_shared<RedisTarget>();
  target->options = options;
  auto addresses = resolve_stream(options.host, options.port, message);
  if (!addresses) return fail(addresses.error());
  target->addresses = std::move(*addresses);
  target->name = fmt::format("redis://{}/{}", host_and_port(options.host, options.port), options.database);
  if (!options.user.empty()) {
    add_command(*target, {"AUTH", options.user, options.password});
  } else if (!options.password.empty()) {
    add_command(*target, {"AUTH", options.password});
  }
  if (options.database != 0) add_command(*target, {"SELECT", std::to_string(options.database)});
  add_command(*target, {"PING"});
  return std::make_unique<RedisBackend>(std::move(target));
}

}  // namespace shadowserve
