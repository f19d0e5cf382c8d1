// Who a side of the link across machines is: certificate, private key, and the CA that both sides trust.
#pragma once

#include <memory>
#include <string>

#include "contract/result.h"

using SSL_CTX = struct ssl_ctx_st;

namespace shadowserve {

/// Paths of PEM files.
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string ca;
};

enum class TlsSide : uint8_t { kPlane, kEngine };

/// TLS 1.3 and nothing older; either side shows a certificate of the CA or is refused. Any thread.
class TlsIdentity {
 public:
  /// Reads and checks all three: there, of one another, not expired, key not for everybody to read. kConfig
  /// with a sentence in `message` that says what to do.
  static Result<std::shared_ptr<const TlsIdentity>> load(const TlsFiles& files, TlsSide side,
                                                         std::string& message);
  ~TlsIdentity();
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;

  SSL_CTX* context() const { return context_; }
  TlsSide side() const { return side_; }

 private:
  TlsIdentity(SSL_CTX* context, TlsSide side) : context_(context), side_(side) {}
  SSL_CTX* context_;
  TlsSide side_;
};

}  // namespace shadowserve
