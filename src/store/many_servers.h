// One record store made of several servers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/record_store.h"

namespace shadowserve {

struct NamedBackend {
  std::string name;  ///< "host:port", what ServerChoice goes by
  std::unique_ptr<StoreBackend> backend;
};

/// A store whose records lie on the server that ServerChoice names. A client has a client of every server and
/// nothing else to itself: deadlines and connections are theirs, and while one of them is gone its records
/// are kStoreDown and all others go on. `description` is for people. REQUIRES one server or more, of the same
/// kind.
std::unique_ptr<StoreBackend> make_many_servers(std::vector<NamedBackend> servers, std::string description);

}  // namespace shadowserve
