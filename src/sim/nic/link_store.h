// A record store at the other end of a modelled link, behind the product's own seam.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "sim/nic/nic_machine.h"
#include "sim/nic/service_center.h"
#include "store/record_store.h"

namespace shadowserve::nic {

/// Records that a server holds. Shared by a backend's clients; filled before the simulation.
using RecordShelf = std::map<std::string, std::vector<std::byte>, std::less<>>;

struct LinkModel {
  double gbit_per_s = 0;  ///< 0: no link, records are there at once
  double rtt_ns = 0;
  double memory_bytes = 0;  ///< for each byte that arrives
};

/// Reads only: a put is refused. Records come one after the other over one link that all clients share, each
/// at the link's whole rate. What a client's core does to receive them is the receiving stage's cost, not the
/// link's.
class LinkBackend final : public StoreBackend {
 public:
  /// `arrived` is called whenever a client has something to poll.
  LinkBackend(VirtualWorld& world, const LinkModel& link, const RecordShelf& shelf,
              std::function<void()> arrived)
      : world_(world),
        link_(link),
        shelf_(shelf),
        arrived_(std::move(arrived)),
        wire_(world, 1, link.rtt_ns) {}
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override;
  Usage usage() const override { return {}; }
  std::string describe() const override { return "a modelled link"; }
  /// Over the link so far, also what nobody waited for any more.
  uint64_t came_bytes() const { return came_bytes_; }

 private:
  class Client;
  VirtualWorld& world_;
  LinkModel link_;
  const RecordShelf& shelf_;
  std::function<void()> arrived_;
  uint64_t came_bytes_ = 0;
  ServiceCenter wire_;
};

}  // namespace shadowserve::nic
