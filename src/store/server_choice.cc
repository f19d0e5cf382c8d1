// FNV-1a of names, the finalizer of splitmix64 over both.
#include "store/server_choice.h"

namespace shadowserve {
namespace {

uint64_t hash_of(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  return hash;
}

uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

}  // namespace

ServerChoice::ServerChoice(std::span<const std::string> names) {
  for (const std::string& name : names) seeds_.push_back(mixed(hash_of(name)));
}

size_t ServerChoice::of(const StoreKey& key) const {
  size_t chosen = 0;
  uint64_t greatest = 0;
  for (size_t server = 0; server < seeds_.size(); ++server) {
    const uint64_t score = mixed(seeds_[server] ^ key.chunk_word());
    if (server > 0 && score <= greatest) continue;
    chosen = server;
    greatest = score;
  }
  return chosen;
}

}  // namespace shadowserve
