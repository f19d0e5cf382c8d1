// OpenSSL over a socket that raises no signals, and its errors in plain words.
#include "wire/network/tls_stream.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "contract/check.h"
#include "wire/network/openssl_use.h"

namespace shadowserve {
namespace {

// OpenSSL's own socket BIO write()s, and a peer that is gone would kill an engine that does not ignore
// SIGPIPE.
int socket_of(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool again() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOTCONN ||
         errno == EINPROGRESS;
}

int write_bio(BIO* bio, const char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const ssize_t wrote = send(socket_of(bio), bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
  if (wrote < 0 && again()) BIO_set_retry_write(bio);
  return static_cast<int>(wrote);
}

int read_bio(BIO* bio, char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = recv(socket_of(bio), bytes, static_cast<size_t>(count), 0);
  if (got < 0 && again()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long control_bio(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* make_bio(int fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link socket");
    SS_CHECK(made != nullptr, "OpenSSL has room for a BIO method");
    BIO_meth_set_write(made, write_bio);
    BIO_meth_set_read(made, read_bio);
    BIO_meth_set_ctrl(made, control_bio);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  SS_CHECK(bio != nullptr, "OpenSSL has room for a BIO");
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

void expect_name(SSL* ssl, const std::string& name) {
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  unsigned char address[16];
  const bool numeric =
      inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
  const int set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str())
                          : X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());
  SS_CHECK(set == 1, "a name that the options took can be asked for");
  if (!numeric) SSL_set_tlsext_host_name(ssl, name.c_str());
}

std::string about_certificate(long verdict, bool engine) {
  const char* const whose = engine ? "the data plane's" : "the engine's";
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{} certificate has expired: make new ones with shadowserve link keys", whose);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{} certificate is not valid yet: are both clocks right?", whose);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("{} certificate is for another name: set tls_name, or make one with --name", whose);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format("{} certificate is of another CA than tls_ca", whose);
    default:
      return fmt::format("{} certificate is not good: {}", whose, X509_verify_cert_error_string(verdict));
  }
}

}  // namespace

TlsStream::TlsStream(int fd, const TlsIdentity& identity, const std::string& name)
    : fd_(fd), engine_(identity.side() == TlsSide::kEngine) {
  const OpensslUse use;
  if (!use) return;
  ssl_ = SSL_new(identity.context());
  SS_CHECK(ssl_ != nullptr, "OpenSSL has room for a connection");
  BIO* const bio = make_bio(fd);
  SSL_set_bio(ssl_, bio, bio);
  if (engine_) {
    expect_name(ssl_, name);
    SSL_set_connect_state(ssl_);
  } else {
    SSL_set_accept_state(ssl_);
  }
}

TlsStream::TlsStream(TlsStream&& other) noexcept { *this = std::move(other); }

TlsStream& TlsStream::operator=(TlsStream&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::exchange(other.fd_, -1);
  ssl_ = std::exchange(other.ssl_, nullptr);
  engine_ = other.engine_;
  ready_ = std::exchange(other.ready_, false);
  wants_write_ = std::exchange(other.wants_write_, false);
  out_ = std::move(other.out_);
  sent_ = std::exchange(other.sent_, 0);
  never_connected_ = other.never_connected_;
  reason_ = std::move(other.reason_);
  return *this;
}

TlsStream::~TlsStream() { close(); }

void TlsStream::close() {
  if (const OpensslUse use; use && ssl_ != nullptr) SSL_free(ssl_);
  if (fd_ >= 0) ::close(fd_);
  ssl_ = nullptr;
  fd_ = -1;
  ready_ = wants_write_ = false;
  out_.clear();
  sent_ = 0;
}

bool TlsStream::step() {
  const OpensslUse use;
  if (!open() || !use || ssl_ == nullptr) return false;
  wants_write_ = false;
  if (!ready_) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(ssl_);
    if (result != 1) return !gone(result);
    ready_ = true;
  }
  while (queued() > 0) {
    ERR_clear_error();
    errno = 0;
    const int wrote =
        SSL_write(ssl_, out_.data() + sent_, static_cast<int>(std::min<size_t>(queued(), 16u << 10)));
    if (wrote <= 0) return !gone(wrote);
    sent_ += static_cast<size_t>(wrote);
  }
  out_.clear();
  sent_ = 0;
  return true;
}

ssize_t TlsStream::read(std::span<std::byte> into) {
  const OpensslUse use;
  if (!open() || !use || ssl_ == nullptr) return -1;
  if (!ready_) return 0;
  ERR_clear_error();
  errno = 0;
  const int got = SSL_read(ssl_, into.data(), static_cast<int>(into.size()));
  if (got > 0) return got;
  return gone(got) ? -1 : 0;
}

bool TlsStream::queue(std::span<const std::byte> bytes) {
  if (queued() + bytes.size() > kQueueBytesMax) return false;
  if (sent_ > 0) {
    out_.erase(out_.begin(), out_.begin() + static_cast<ptrdiff_t>(sent_));
    sent_ = 0;
  }
  out_.insert(out_.end(), bytes.begin(), bytes.end());
  return true;
}

void TlsStream::finish() {
  const OpensslUse use;
  if (!open() || !use) return;
  ERR_clear_error();
  if (ready_) SSL_shutdown(ssl_);
  shutdown(fd_, SHUT_WR);
  ERR_clear_error();
}

bool TlsStream::gone(int result) {
  const int system = errno;
  const int code = SSL_get_error(ssl_, result);
  if (code == SSL_ERROR_WANT_READ) return false;
  if (code == SSL_ERROR_WANT_WRITE) {
    wants_write_ = true;
    return false;
  }
  never_connected_ = !ready_ && code == SSL_ERROR_SYSCALL && system != 0;
  errno = system;
  reason_ = explain(code);
  ERR_clear_error();
  return true;
}

std::string TlsStream::explain(int code) const {
  if (const long verdict = SSL_get_verify_result(ssl_); verdict != X509_V_OK)
    return about_certificate(verdict, engine_);
  if (code == SSL_ERROR_ZERO_RETURN) return "it closed the connection";
  const int system = errno;
  const unsigned long error = ERR_peek_error();
  if (error == 0) return system == 0 ? "it closed the connection" : std::strerror(system);
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return "it showed no certificate";
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) return "it closed the connection";
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) return "it does not speak TLS";
  const char* const text = ERR_reason_error_string(error);
  // An alert is the peer's: 1000 + its number in the protocol.
  if (reason > SSL_AD_REASON_OFFSET && ERR_GET_LIB(error) == ERR_LIB_SSL) {
    return fmt::format("{} ({})",
                       ready_ && SSL_in_init(ssl_) == 0 && reason == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC
                           ? "bytes were damaged on the way"
                           : "it refused this side's certificate",
                       text != nullptr ? text : "?");
  }
  return fmt::format("TLS failed ({})", text != nullptr ? text : "?");
}

std::string TlsStream::peer_name() const {
  if (!ready_) return {};
  X509* const certificate = SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr) return {};
  char name[128] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}

}  // namespace shadowserve
