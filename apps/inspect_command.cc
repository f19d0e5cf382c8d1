// `shadowserve inspect`: shows records in plain words, from the store or from a file.
#include <fmt/format.h>
#include <poll.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "chunk/record.h"
#include "command.h"
#include "store/record_store.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve inspect 9f2c...e1                     all parts of this chunk in the configured store
  shadowserve inspect ss1:9f2c...e1:0 --store redis://cache:6379
  shadowserve inspect record.bin                    a record saved to a file

KEY is a chunk's 64 hexadecimal digits, or a store key ss1:<digits>:<part>. An embedded store (rocksdb:) can be
opened by one process at a time: stop its data plane first. The seal is not checked here: only who knows the
model and the tenant's salt can.)";

constexpr uint64_t kDeadlineNs = 5'000'000'000;

std::string_view quantizer_words(QuantizerId id) {
  switch (id) {
    case QuantizerId::kRaw:
      return "elements as they are";
    case QuantizerId::kTokenSym:
      return "per token, symmetric";
    case QuantizerId::kChannelAsym:
      return "per channel, asymmetric";
    case QuantizerId::kCalibrated:
      return "per channel, calibrated";
  }
  return "unknown quantizer";
}

std::string_view coder_words(uint8_t id) {
  switch (static_cast<CoderId>(id)) {
    case CoderId::kNone:
      return "not coded";
    case CoderId::kDeflate:
      return "Deflate";
    case CoderId::kZstd:
      return "zstd";
    case CoderId::kRans:
      return "rANS";
  }
  return "unknown coder";
}

std::string_view packing_words(uint8_t id) {
  switch (static_cast<PackingId>(id)) {
    case PackingId::kBytes:
      return "a byte a symbol";
    case PackingId::kNibbles:
      return "two symbols a byte";
    case PackingId::kElements:
      return "elements";
    case PackingId::kSplit:
      return "byte planes";
    default:
      return "other packing";
  }
}

/// Frames that were made the same way, told once.
struct FrameKind {
  uint32_t frames = 0;
  uint64_t scale_bytes = 0, symbol_bytes = 0, coded_bytes = 0;
};

void show_frames(const RecordView& view) {
  std::map<std::string, FrameKind> kinds;
  for (uint32_t i = 0; i < view.frame_count(); ++i) {
    const FrameEntry& entry = view.frame(i).entry;
    const KvGeometry& geometry = view.shape().geometry;
    const char* const plane = geometry.latent() ? "latent" : geometry.kind_of(entry.plane) == 0 ? "K" : "V";
    std::string how = fmt::format("{}: {}", plane, quantizer_words(quantizer_of(entry)));
    if (entry.levels > 0) how += fmt::format(", {} levels", entry.levels);
    if (entry.group_tokens > 0) how += fmt::format(", groups of {} tokens", entry.group_tokens);
    if (entry.group_heads > 0) how += fmt::format(", groups of {} heads", entry.group_heads);
    if (keeps_rows(entry)) how += ", kept rows";
    how += fmt::format("; {}; {}", packing_words(entry.packing), coder_words(entry.coder));
    FrameKind& kind = kinds[how];
    ++kind.frames;
    kind.scale_bytes += entry.scale_bytes;
    kind.symbol_bytes += entry.symbol_bytes;
    kind.coded_bytes += entry.coded_bytes;
  }
  for (const auto& [how, kind] : kinds) {
    fmt::print("  {} frames  {}\n             {} of symbols in {}, scales {}\n", kind.frames, how,
               format_byte_size(kind.symbol_bytes), format_byte_size(kind.coded_bytes),
               format_byte_size(kind.scale_bytes));
  }
}

/// False when the bytes are no record of this version.
bool show_record(std::span<const std::byte> bytes, const std::string& where, uint32_t* parts) {
  const auto view = std::make_unique<RecordView>();
  if (const auto described = describe_record(bytes, *view); !described) {
    fmt::print("{}: {} bytes, not a usable record: {} ({})\n", where, bytes.size(),
               error_sentence(described.error()), error_name(described.error()));
    return false;
  }
  const RecordHeader& header = view->header();
  const PartShape& shape = view->shape();
  const KvGeometry& geometry = shape.geometry;
  ChunkKey key;
  std::memcpy(key.data(), header.chunk_key, key.size());
  const auto* profile = reinterpret_cast<const char*>(header.profile);
  fmt::print("{}: a record of format {}, {} bytes\n", where, header.version, bytes.size());
  fmt::print("  chunk      {}\n", to_hex(key));
  fmt::print("  holds      {} tokens of layers {} to {} of {} (part {} of {}), {} of {}, {}\n",
             geometry.chunk_tokens, geometry.layer_of(shape.plane_first),
             geometry.layer_of(shape.plane_first + shape.plane_count - 1), geometry.layers, header.part + 1,
             geometry.parts(),
             geometry.latent() ? "a latent vector" : fmt::format("{} KV heads", geometry.kv_heads),
             geometry.head_dim, element_name(geometry.element));
  fmt::print("  profile    {}\n", std::string_view(profile, strnlen(profile, sizeof(header.profile))));
  fmt::print("  size       {} of KV in {}: {:.2f}x smaller\n", format_byte_size(shape.value_bytes()),
             format_byte_size(bytes.size()),
             static_cast<double>(shape.value_bytes()) / static_cast<double>(bytes.size()));
  fmt::print("  seal       {}\n", header.seal_kind == static_cast<uint8_t>(SealKind::kGmac)
                                      ? "AES-256-GMAC: tampering is noticed by who knows the tenant's salt"
                                      : "XXH3-128: damage is noticed, tampering is not (no tenant salt)");
  show_frames(*view);
  if (parts != nullptr) *parts = geometry.parts();
  return true;
}

int inspect_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) throw StartError(fmt::format("cannot read {}", path));
  std::vector<std::byte> bytes(static_cast<size_t>(in.tellg()));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return show_record(bytes, path, nullptr) ? 0 : 1;
}

/// Waits for the one operation in flight.
StoreDone wait_for_one(RecordStore& store) {
  StoreDone done;
  while (store.poll({&done, 1}) == 0) {
    pollfd wake{store.wake_fd(), POLLIN, 0};
    poll(&wake, wake.fd >= 0 ? 1 : 0, 10);
  }
  return done;
}

int inspect_stored(const ChunkKey& key, std::optional<uint32_t> only_part, const std::string& url) {
  std::string message;
  const auto backend = open_store(url, message);
  if (!backend) throw StartError(message);
  const MonotonicClock clock;
  const auto client = (*backend)->client(clock, 4);
  if (!client) throw StartError(std::string(error_sentence(client.error())));
  std::vector<std::byte> memory(kRecordBytesMax + kRegionSlack);
  uint32_t parts = only_part.value_or(0) + 1;
  int exit_code = 0;
  for (uint32_t part = only_part.value_or(0); part < parts; ++part) {
    const StoreKey store_key(key, part);
    const auto asked =
        (*client)->get(1, store_key, std::span(memory).first(kRecordBytesMax), clock.now_ns() + kDeadlineNs);
    if (!asked) throw StartError(std::string(error_sentence(asked.error())));
    const StoreDone done = wait_for_one(**client);
    const std::string where(store_key.view());
    if (done.error != Error::kNone) {
      fmt::print("{}: {} ({})\n", where, error_sentence(done.error), (*backend)->describe());
      return 1;
    }
    uint32_t* learn_parts = only_part ? nullptr : &parts;
    if (!show_record(std::span(memory).first(done.bytes), where, learn_parts)) exit_code = 1;
  }
  return exit_code;
}

/// "<64 digits>" or "ss1:<64 digits>:<part>".
std::optional<ChunkKey> parse_stored_name(std::string_view name, std::optional<uint32_t>& part) {
  if (name.starts_with("ss1:")) name.remove_prefix(4);
  const std::string_view digits = name.substr(0, name.find(':'));
  if (digits.size() < name.size()) {
    uint32_t number = 0;
    const std::string_view rest = name.substr(digits.size() + 1);
    const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (code != std::errc() || end != rest.data() + rest.size() || number > 2 * kLayersMax)
      return std::nullopt;
    part = number;
  }
  const auto key = key_from_hex(digits);
  return key ? std::optional(*key) : std::nullopt;
}

struct InspectOptions {
  SettingFlags settings;
  std::string what;
};

int run_inspect(const InspectOptions& options) {
  std::optional<uint32_t> part;
  if (const auto key = parse_stored_name(options.what, part)) {
    return inspect_stored(*key, part, options.settings.load().text("store"));
  }
  if (!std::filesystem::is_regular_file(options.what)) {
    throw StartError(fmt::format(
        "\"{}\" is neither a key (64 hexadecimal digits, or ss1:<digits>:<part>) nor a file", options.what));
  }
  return inspect_file(options.what);
}

}  // namespace

Command add_inspect_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("inspect", "Show a record in plain words");
  app->footer(kFooter);
  const auto options = std::make_shared<InspectOptions>();
  app->add_option("what", options->what, "a chunk's key, or a file")->type_name("KEY|FILE")->required();
  options->settings.add_to(*app, {"store"});
  return {app, [options] { return run_inspect(*options); }};
}

}  // namespace shadowserve
