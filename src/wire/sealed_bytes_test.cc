// Sealed bytes arrive as they were sent, and whatever a peer could still change is not taken.
#include "wire/sealed_bytes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace shadowserve {
namespace {

std::vector<std::byte> some_bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

/// A memfd of `bytes` bytes with these seals.
int memfd(size_t bytes, int seals) {
  const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
  return fd;
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(SealedBytes, ArriveAsTheyWereSent) {
  const auto bytes = some_bytes(100'003);
  const auto sent = SealedBytes::create("test", bytes);
  ASSERT_TRUE(sent);
  auto came = SealedBytes::adopt(dup(sent->fd()), bytes.size());
  ASSERT_TRUE(came);
  EXPECT_EQ(came->read().value(), bytes);
  const SealedBytes moved = std::move(*came);
  EXPECT_EQ(moved.read().value(), bytes);
  EXPECT_EQ(came->fd(), -1);
}

TEST(SealedBytes, NobodyCanChangeThem) {
  const auto sent = SealedBytes::create("test", some_bytes(10));
  const char byte = 1;
  EXPECT_EQ(pwrite(sent->fd(), &byte, 1, 0), -1);
  EXPECT_NE(ftruncate(sent->fd(), 5), 0);
  EXPECT_NE(ftruncate(sent->fd(), 50), 0);
  EXPECT_EQ(mmap(nullptr, 10, PROT_READ | PROT_WRITE, MAP_SHARED, sent->fd(), 0), MAP_FAILED);
}

TEST(SealedBytes, WhatAPeerCouldStillChangeIsNotTaken) {
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  EXPECT_TRUE(SealedBytes::adopt(memfd(10, kAll), 10)) << "negative control";
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {
    const int fd = memfd(10, kAll & ~missing);
    EXPECT_EQ(SealedBytes::adopt(fd, 10).error(), Error::kConfig) << missing;
    EXPECT_FALSE(is_open(fd)) << "taken in every case";
  }
  EXPECT_EQ(SealedBytes::adopt(memfd(10, kAll), 9).error(), Error::kConfig) << "longer than said";
  EXPECT_EQ(SealedBytes::adopt(memfd(10, kAll), 11).error(), Error::kConfig) << "shorter than said";
  EXPECT_EQ(SealedBytes::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC), 0).error(), Error::kConfig)
      << "no memfd";
}

}  // namespace
}  // namespace shadowserve
