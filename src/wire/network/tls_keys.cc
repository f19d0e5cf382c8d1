// P-256 throughout: small, quick to check, and what every TLS library and its hardware know.
#include "wire/network/tls_keys.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace shadowserve {
namespace {

constexpr int64_t kCaSeconds = int64_t{3650} * 86'400;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using Bio = std::unique_ptr<BIO, Free>;

struct Pair {
  Key key;
  Certificate certificate;
};

struct Wanted {
  const char* common_name;
  std::string constraints, usage, extended_usage, names;
  int64_t from_s, until_s;
};

bool extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  if (value.empty()) return true;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

/// Signed by `ca`, or by itself.
Pair make_pair(const Wanted& wanted, const Pair* ca) {
  Pair made{Key(EVP_EC_gen("P-256")), Certificate(X509_new())};
  X509* const certificate = made.certificate.get();
  if (!made.key || certificate == nullptr) return {};
  uint64_t serial = 0;
  bool good = RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1;
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509* const issuer = ca != nullptr ? ca->certificate.get() : certificate;
  good = good && X509_set_version(certificate, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.from_s) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.until_s) != nullptr &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(wanted.common_name), -1, -1,
                                    0) == 1 &&
         X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
         X509_set_pubkey(certificate, made.key.get()) == 1 &&
         // Which of two CAs signed it: a side may trust an old one and a new one for a while.
         extend(certificate, issuer, NID_subject_key_identifier, "hash") &&
         extend(certificate, issuer, NID_authority_key_identifier, ca != nullptr ? "keyid:always" : "") &&
         extend(certificate, issuer, NID_basic_constraints, wanted.constraints) &&
         extend(certificate, issuer, NID_key_usage, wanted.usage) &&
         extend(certificate, issuer, NID_ext_key_usage, wanted.extended_usage) &&
         extend(certificate, issuer, NID_subject_alt_name, wanted.names) &&
         X509_sign(certificate, (ca != nullptr ? ca->key : made.key).get(), EVP_sha256()) > 0;
  return good ? std::move(made) : Pair{};
}

/// Under another name first: whoever reads these files never sees half of one.
bool write_file(const std::string& path, mode_t mode, BIO* content, std::string& message) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(content, &bytes);
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  const bool written = fd >= 0 && write(fd, bytes, static_cast<size_t>(size)) == size;
  if (fd >= 0) close(fd);
  if (written && rename(fresh.c_str(), path.c_str()) == 0) return true;
  message = fmt::format("cannot write {}: {}", path, std::strerror(errno));
  return false;
}

bool write_pair(const Pair& pair, const std::string& stem, std::string& message) {
  const Bio key(BIO_new(BIO_s_mem())), certificate(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(key.get(), pair.key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate.get(), pair.certificate.get()) != 1) {
    message = "OpenSSL cannot write a key";
    return false;
  }
  return write_file(stem + ".key", 0600, key.get(), message) &&
         write_file(stem + ".pem", 0644, certificate.get(), message);
}

Pair read_pair(const std::string& stem) {
  const Bio key(BIO_new_file((stem + ".key").c_str(), "r")),
      certificate(BIO_new_file((stem + ".pem").c_str(), "r"));
  if (!key || !certificate) return {};
  return {Key(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr)),
          Certificate(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr))};
}

bool names_text(const std::vector<std::string>& names, std::string& text, std::string& message) {
  text = fmt::format("DNS:{}", kPlaneName);
  for (const std::string& name : names) {
    unsigned char address[16];
    const bool numeric =
        inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
    // The text is a list for OpenSSL: a comma would be another entry.
    if (name.empty() || name.find_first_of(",:/ \n") != std::string::npos) {
      if (!numeric) {
        message = fmt::format("\"{}\" is no host name and no address", name);
        return false;
      }
    }
    text += fmt::format(",{}:{}", numeric ? "IP" : "DNS", name);
  }
  return true;
}

Pair take_ca(const std::string& stem, std::string& message) {
  if (access((stem + ".key").c_str(), F_OK) != 0) {
    Pair made = make_pair({"shadowserve CA", "critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign", "",
                           "", -300, kCaSeconds},
                          nullptr);
    if (made.key && write_pair(made, stem, message)) return made;
    if (message.empty()) message = "OpenSSL cannot make a CA";
    return {};
  }
  Pair read = read_pair(stem);
  const bool whole =
      read.key && read.certificate && X509_check_private_key(read.certificate.get(), read.key.get()) == 1;
  if (whole) return read;
  message = fmt::format(
      "{}.key and {}.pem are not the key and the certificate of a CA: choose another folder", stem, stem);
  return {};
}

}  // namespace

Result<void> make_tls_keys(const TlsKeysOptions& options, std::string& message) {
  std::string names;
  if (!names_text(options.names, names, message)) return fail(Error::kConfig);
  if (mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    message = fmt::format("cannot make the folder {}: {}", options.folder, std::strerror(errno));
    return fail(Error::kSystem);
  }
  const std::string stem = options.folder + "/";
  const Pair ca = take_ca(stem + "ca", message);
  if (!ca.key) return fail(Error::kConfig);
  // What a certificate is for stands in it: an engine's cannot pass for a data plane's.
  const Pair plane = make_pair({kPlaneName, "critical,CA:FALSE", "critical,digitalSignature", "serverAuth",
                                names, options.valid_from_s, options.valid_until_s},
                               &ca);
  const Pair engine = make_pair({"shadowserve-engine", "critical,CA:FALSE", "critical,digitalSignature",
                                 "clientAuth", "", options.valid_from_s, options.valid_until_s},
                                &ca);
  if (!plane.key || !engine.key) {
    message = "OpenSSL cannot make a certificate";
    return fail(Error::kSystem);
  }
  if (write_pair(plane, stem + "plane", message) && write_pair(engine, stem + "engine", message)) return {};
  return fail(Error::kSystem);
}

}  // namespace shadowserve
