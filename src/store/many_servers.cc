// Passes every operation to the client of its server and collects what they complete.
#include "store/many_servers.h"

#include "contract/check.h"
#include "store/server_choice.h"
#include "store/store_wake.h"

namespace shadowserve {
namespace {

class ManyServersClient final : public RecordStore {
 public:
  ManyServersClient(std::shared_ptr<const ServerChoice> choice,
                    std::vector<std::unique_ptr<RecordStore>> clients, uint32_t depth)
      : choice_(std::move(choice)), clients_(std::move(clients)), depth_(depth) {
    for (const auto& client : clients_) {
      SS_CHECK(client->wake_fd() >= 0, "clients of servers have something to sleep on");
      wake_.watch(client->wake_fd(), false);
    }
  }

  StoreTraits traits() const override { return clients_.front()->traits(); }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override {
    return pass(key, [&](RecordStore& to) { return to.get(ticket, key, into, deadline_ns); });
  }
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t deadline_ns) override {
    return pass(key, [&](RecordStore& to) { return to.put(ticket, key, from, deadline_ns); });
  }
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override {
    return pass(key, [&](RecordStore& to) { return to.exists(ticket, key, deadline_ns); });
  }
  void use_memory(std::span<std::byte> memory) override {
    for (const auto& client : clients_) client->use_memory(memory);
  }
  size_t poll(std::span<StoreDone> out) override;
  int wake_fd() const override { return wake_.fd(); }
  size_t in_flight() const override { return in_flight_; }

 private:
  Result<void> pass(const StoreKey& key, const auto& submit) {
    if (in_flight_ == depth_) return fail(Error::kNoCapacity);
    const Result<void> accepted = submit(*clients_[choice_->of(key)]);
    in_flight_ += accepted ? 1 : 0;
    return accepted;
  }

  std::shared_ptr<const ServerChoice> choice_;
  std::vector<std::unique_ptr<RecordStore>> clients_;
  StoreWake wake_;
  size_t depth_ = 0, in_flight_ = 0;
  size_t turn_ = 0;  // whose completions come first, and who is polled although nothing was asked of it
};

/// A poll is a system call, and a data plane that spins makes millions: clients with nothing in flight, which
/// only keep their connection, take turns. One whose descriptor is readable is reached after as many polls as
/// there are servers.
size_t ManyServersClient::poll(std::span<StoreDone> out) {
  size_t written = 0;
  for (size_t i = 0; i < clients_.size(); ++i) {
    RecordStore& client = *clients_[(turn_ + i) % clients_.size()];
    if (i > 0 && client.in_flight() == 0) continue;
    written += client.poll(out.subspan(written));
  }
  turn_ = (turn_ + 1) % clients_.size();
  in_flight_ -= written;
  return written;
}

class ManyServersBackend final : public StoreBackend {
 public:
  ManyServersBackend(std::vector<NamedBackend> servers, std::string description)
      : description_(std::move(description)) {
    std::vector<std::string> names;
    for (NamedBackend& server : servers) {
      names.push_back(std::move(server.name));
      backends_.push_back(std::move(server.backend));
    }
    choice_ = std::make_shared<ServerChoice>(names);
  }
  /// Each server's client has room for all: any share of the operations may be one server's.
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override {
    std::vector<std::unique_ptr<RecordStore>> clients;
    for (const auto& backend : backends_) {
      auto client = backend->client(clock, depth);
      if (!client) return client;
      clients.push_back(std::move(*client));
    }
    return std::make_unique<ManyServersClient>(choice_, std::move(clients), depth);
  }
  Usage usage() const override {
    Usage sum;
    for (const auto& backend : backends_) {
      const Usage one = backend->usage();
      sum.bytes += one.bytes;
      sum.records += one.records;
      sum.evicted += one.evicted;
      sum.limit_bytes += one.limit_bytes;
    }
    return sum;
  }
  std::string describe() const override { return description_; }

 private:
  std::vector<std::unique_ptr<StoreBackend>> backends_;
  std::shared_ptr<const ServerChoice> choice_;
  std::string description_;
};

}  // namespace

std::unique_ptr<StoreBackend> make_many_servers(std::vector<NamedBackend> servers, std::string description) {
  SS_CHECK(!servers.empty(), "a store has a server");
  return std::make_unique<ManyServersBackend>(std::move(servers), std::move(description));
}

}  // namespace shadowserve
