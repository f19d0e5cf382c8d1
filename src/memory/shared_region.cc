// Sealed memfd mappings.
#include "memory/shared_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace shadowserve {
namespace {

size_t round_to_pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SharedRegion::SharedRegion(SharedRegion&& other) noexcept { *this = std::move(other); }

SharedRegion& SharedRegion::operator=(SharedRegion&& other) noexcept {
  if (this == &other) return *this;
  release();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  fd_ = std::exchange(other.fd_, -1);
  pinned_ = std::exchange(other.pinned_, false);
  return *this;
}

SharedRegion::~SharedRegion() { release(); }

void SharedRegion::release() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
  data_ = nullptr;
  size_ = 0;
  fd_ = -1;
}

Result<SharedRegion> SharedRegion::create(const char* name, size_t bytes) {
  SharedRegion region;
  region.size_ = round_to_pages(bytes);
  region.fd_ = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (region.fd_ < 0) return fail(Error::kSystem);
  if (ftruncate(region.fd_, static_cast<off_t>(region.size_)) != 0) return fail(Error::kSystem);
  if (fcntl(region.fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return fail(Error::kSystem);
  // MAP_POPULATE: pages are taken now, not in the middle of a fetch.
  void* data = mmap(nullptr, region.size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region.fd_, 0);
  if (data == MAP_FAILED) return fail(Error::kSystem);
  region.data_ = static_cast<std::byte*>(data);
  return region;
}

Result<SharedRegion> SharedRegion::map(int fd, size_t bytes) {
  SharedRegion region;
  region.fd_ = fd;
  struct stat status {};
  if (fstat(fd, &status) != 0) return fail(Error::kSystem);
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return fail(Error::kConfig);
  if (static_cast<size_t>(status.st_size) < bytes) return fail(Error::kConfig);
  region.size_ = round_to_pages(bytes);
  void* data = mmap(nullptr, region.size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region.fd_, 0);
  if (data == MAP_FAILED) return fail(Error::kSystem);
  region.data_ = static_cast<std::byte*>(data);
  return region;
}

bool SharedRegion::pin() {
  pinned_ = data_ != nullptr && mlock(data_, size_) == 0;
  return pinned_;
}

}  // namespace shadowserve
