// Test only: keys, a plane that listens on tls://, and options of engines that connect to it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "link/link_engine.h"
#include "link/tcp_proxy.h"
#include "store/redis_process.h"
#include "wire/network/plane_endpoint.h"
#include "wire/network/tls_keys.h"

namespace shadowserve {

/// A folder with a CA and certificates of both sides; gone with the object.
class TestKeys {
 public:
  explicit TestKeys(const std::string& name = "keys", int64_t valid_from_s = -300,
                    int64_t valid_until_s = 3600)
      : folder_(scratch(name)) {
    std::string message;
    EXPECT_TRUE(make_tls_keys({folder_, {"localhost", "127.0.0.1"}, valid_from_s, valid_until_s}, message))
        << message;
    engine = {folder_ + "/engine.pem", folder_ + "/engine.key", folder_ + "/ca.pem"};
    plane = {folder_ + "/plane.pem", folder_ + "/plane.key", folder_ + "/ca.pem"};
  }
  ~TestKeys() { std::filesystem::remove_all(folder_); }
  const std::string& folder() const { return folder_; }
  TlsFiles engine, plane;

 private:
  const std::string folder_;
};

inline std::string window_path() { return scratch("window.sock"); }

inline PlaneOptions network_plane_options(const TestKeys& keys, uint16_t port = 0,
                                          const std::string& store = "memory:") {
  PlaneOptions options = plane_options(store);
  options.listen = "tls://127.0.0.1:" + std::to_string(port);
  options.tls = keys.plane;
  options.window_path = window_path();
  return options;
}

/// ss_options with the strings it points to. Not copyable: the strings stay where they are.
class NetworkOptions {
 public:
  NetworkOptions(const TestKeys& keys, uint16_t port, const char* profile = "raw")
      : address(tls_address(port)), window(window_path()), files(keys.engine) {
    options = engine_options(profile);
    options.socket_path = address.c_str();
    options.tls_certificate = files.certificate.c_str();
    options.tls_key = files.key.c_str();
    options.tls_ca = files.ca.c_str();
    options.window = window.c_str();
    options.lookup_timeout_ms = 100;  // how long a link without answers is waited for is judged here
  }
  NetworkOptions(const NetworkOptions&) = delete;
  static std::string tls_address(uint16_t port) { return "tls://127.0.0.1:" + std::to_string(port); }

  const std::string address, window;
  const TlsFiles files;
  ss_options options;
};

inline uint16_t port_of(const ThreadedPlane& plane) {
  const std::string address = plane.stats()["network"]["address"];
  return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

}  // namespace shadowserve
