// Seals are looked at before bytes: what is read was final by then.
#include "wire/sealed_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace shadowserve {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

}  // namespace

SealedBytes::SealedBytes(SealedBytes&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(std::exchange(other.size_, 0)) {}

SealedBytes& SealedBytes::operator=(SealedBytes&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

SealedBytes::~SealedBytes() {
  if (fd_ >= 0) close(fd_);
}

Result<SealedBytes> SealedBytes::create(const char* name, std::span<const std::byte> bytes) {
  SealedBytes sealed;
  sealed.fd_ = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (sealed.fd_ < 0) return fail(Error::kSystem);
  for (size_t written = 0; written < bytes.size();) {
    const ssize_t wrote = write(sealed.fd_, bytes.data() + written, bytes.size() - written);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return fail(Error::kSystem);
    written += static_cast<size_t>(wrote);
  }
  if (fcntl(sealed.fd_, F_ADD_SEALS, kSeals) != 0) return fail(Error::kSystem);
  sealed.size_ = bytes.size();
  return sealed;
}

Result<SealedBytes> SealedBytes::adopt(int fd, size_t bytes) {
  SealedBytes sealed;
  sealed.fd_ = fd;
  sealed.size_ = bytes;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return fail(Error::kConfig);
  struct stat status {};
  if (fstat(fd, &status) != 0) return fail(Error::kSystem);
  if (static_cast<size_t>(status.st_size) != bytes) return fail(Error::kConfig);
  return sealed;
}

Result<std::vector<std::byte>> SealedBytes::read() const {
  std::vector<std::byte> copy(size_);
  for (size_t got = 0; got < size_;) {
    const ssize_t read = pread(fd_, copy.data() + got, size_ - got, static_cast<off_t>(got));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return fail(Error::kSystem);
    got += static_cast<size_t>(read);
  }
  return copy;
}

}  // namespace shadowserve
