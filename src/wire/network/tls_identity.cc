// Loading is where most set-ups go wrong, so every step has a sentence of its own.
#include "wire/network/tls_identity.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "wire/network/openssl_use.h"

namespace shadowserve {
namespace {

constexpr const char* kMakeThem = "make a CA and certificates with: shadowserve link keys DIR";

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return reason != nullptr ? reason : "OpenSSL does not say why";
}

bool readable(const std::string& path, const char* option, std::string& message) {
  if (path.empty()) {
    message = fmt::format("a tls:// link needs {}; {}", option, kMakeThem);
    return false;
  }
  if (access(path.c_str(), R_OK) == 0) return true;
  message = fmt::format("{}: cannot read {}: {}; {}", option, path, std::strerror(errno), kMakeThem);
  return false;
}

bool key_is_private(const std::string& path, std::string& message) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && (status.st_mode & 07) == 0) return true;
  message = fmt::format("everybody may read the private key {}: chmod 600 {}", path, path);
  return false;
}

bool in_time(SSL_CTX* context, const std::string& path, std::string& message) {
  const X509* const certificate = SSL_CTX_get0_certificate(context);
  // Asked as of now: X509_cmp_current_time() gives 0 for dates it cannot read.
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
    message = fmt::format("the certificate {} has expired; {}", path, kMakeThem);
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
    message = fmt::format("the certificate {} is not valid yet: is the clock of this machine right?", path);
    return false;
  }
  return true;
}

// What the other side would say only after a connection was made: a certificate of another CA.
bool of_this_ca(SSL_CTX* context, const TlsFiles& files, std::string& message) {
  X509_STORE_CTX* const check = X509_STORE_CTX_new();
  if (check == nullptr) return true;
  bool good = X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), SSL_CTX_get0_certificate(context),
                                  nullptr) == 1;
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  X509_STORE_CTX_set0_untrusted(check, chain);
  good = good && X509_verify_cert(check) == 1;
  if (!good) {
    message = fmt::format("the certificate {} is not of the CA in {} ({})", files.certificate, files.ca,
                          X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
  }
  X509_STORE_CTX_free(check);
  ERR_clear_error();
  return good;
}

bool fill(SSL_CTX* context, const TlsFiles& files, std::string& message) {
  if (!readable(files.certificate, "tls_certificate", message) || !readable(files.key, "tls_key", message) ||
      !readable(files.ca, "tls_ca", message) || !key_is_private(files.key, message)) {
    return false;
  }
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    message = fmt::format("{} is no certificate in PEM form ({})", files.certificate, openssl_reason());
    return false;
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    message =
        fmt::format("{} is not the private key of {} ({})", files.key, files.certificate, openssl_reason());
    return false;
  }
  if (SSL_CTX_load_verify_file(context, files.ca.c_str()) != 1) {
    message = fmt::format("{} holds no CA certificate in PEM form ({})", files.ca, openssl_reason());
    return false;
  }
  return in_time(context, files.certificate, message) && of_this_ca(context, files, message);
}

}  // namespace

Result<std::shared_ptr<const TlsIdentity>> TlsIdentity::load(const TlsFiles& files, TlsSide side,
                                                             std::string& message) {
  SSL_CTX* const context = SSL_CTX_new(side == TlsSide::kPlane ? TLS_server_method() : TLS_client_method());
  if (context == nullptr) {
    message = fmt::format("OpenSSL does not start ({})", openssl_reason());
    return fail(Error::kSystem);
  }
  OpensslUse::watch_for_exit();
  std::shared_ptr<const TlsIdentity> identity(new TlsIdentity(context, side));
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A link lives for days: nothing is won by resuming, and tickets would be one more thing to keep secret.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  if (!fill(context, files, message)) return fail(Error::kConfig);
  return identity;
}

TlsIdentity::~TlsIdentity() {
  if (const OpensslUse use; use) SSL_CTX_free(context_);
}

}  // namespace shadowserve
