// `shadowserve codec roundtrip`: what a fetch would deliver, for measuring what a profile does to a model's
// answers.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "codec/codec.h"
#include "codec/element.h"
#include "command.h"
#include "kv_dump.h"
#include "profile_choice.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr const char* kGroupFooter = R"(
Examples:
  shadowserve codec roundtrip IN OUT --shape 18x2x2048x256 --profile kv4)";

constexpr const char* kFooter = R"(
Examples:
  shadowserve codec roundtrip kv.bin back.bin --shape 18x2x2048x256 --dtype fp16 --profile kv4
  shadowserve codec roundtrip kv.bin back.bin --shape 32x2x2048x8x128 --dtype bf16 --records records/
  shadowserve codec roundtrip kv.bin back.bin --shape 18x2x2048x1x256 --dtype bf16 --profile balanced \
              --calibration model.cal

IN holds 16-bit elements [layer][K|V][token][head * dim]. OUT gets what a fetch would deliver in their place: every
part of every chunk is quantized, compressed, sealed, opened, decompressed and dequantized. The last chunk is filled
up with its last token and cut again. Four numbers in --shape take all channels for one head, which matters: heads
have scales of their own.)";

struct RoundtripOptions {
  std::string in, out, shape, dtype = "fp16", profile = "kv4", calibration, records;
  uint32_t chunk_tokens = kChunkTokensDefault;
};

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  out.flush();
  if (!out)
    throw StartError(fmt::format("cannot write {}: is there room, and may you write there?", path.string()));
}

/// A key of nobody's text: only tells records of one run apart.
ChunkKey trial_key(uint32_t chunk) {
  ChunkKey key{};
  std::memcpy(key.data(), &chunk, sizeof chunk);
  return key;
}

/// Sends one chunk there and back, in place. Returns the bytes of its records.
uint64_t send_chunk(const RoundtripOptions& options, const Profile& profile, const KvShape& shape,
                    uint32_t chunk, std::span<std::byte> values) {
  const ChunkKey key = trial_key(chunk), seal{};
  std::vector<std::byte> record(kRecordBytesMax);
  uint64_t record_bytes = 0;
  for (uint32_t part = 0; part < shape.geometry.parts(); ++part) {
    PartShape piece = part_shape(shape.geometry, part);
    piece.first_position = chunk * shape.geometry.chunk_tokens;
    const auto part_values =
        values.subspan(piece.plane_first * shape.geometry.plane_bytes(), piece.value_bytes());
    const auto bytes = encode_part(profile, piece, key, seal_kind_of(seal), seal, part_values, record);
    if (!bytes) {
      throw StartError(
          fmt::format("part {} of chunk {} has no room for its scales in a record: try fewer "
                      "--chunk-tokens ({})",
                      part, chunk, error_name(bytes.error())));
    }
    const auto sealed = std::span<const std::byte>(record).first(*bytes);
    if (!options.records.empty()) {
      write_file(
          std::filesystem::path(options.records) / fmt::format("chunk-{:04}-part-{:02}.rec", chunk, part),
          sealed);
    }
    const auto decoded = decode_part(sealed, piece, key, seal, part_values, profile.model);
    if (!decoded) {
      throw StartError(
          fmt::format("a record made just now cannot be read ({}): this is a bug, please report it",
                      error_name(decoded.error())));
    }
    record_bytes += *bytes;
  }
  return record_bytes;
}

struct Deviation {
  double mean = 0, max = 0, mean_magnitude = 0;
  uint64_t not_finite = 0;  ///< NaN and infinity among the originals; these come back bit for bit
};

Deviation deviation_between(std::span<const std::byte> original, std::span<const std::byte> back,
                            ElementType type) {
  Deviation found;
  uint64_t counted = 0;
  for (size_t at = 0; at + kElementBytes <= original.size(); at += kElementBytes) {
    uint16_t bits[2];
    std::memcpy(&bits[0], original.data() + at, kElementBytes);
    std::memcpy(&bits[1], back.data() + at, kElementBytes);
    const bool finite = (bits[0] & 0x7fff) < (type == ElementType::kBf16 ? 0x7f80 : 0x7c00);
    if (!finite) {
      ++found.not_finite;
      if (bits[0] != bits[1]) found.max = INFINITY;
      continue;
    }
    const double before = element::to_float(bits[0], type);
    const double error = std::abs(before - element::to_float(bits[1], type));
    found.mean += error;
    found.mean_magnitude += std::abs(before);
    found.max = std::max(found.max, error);
    ++counted;
  }
  const auto count = static_cast<double>(std::max<uint64_t>(counted, 1));
  found.mean /= count;
  found.mean_magnitude /= count;
  return found;
}

int run_roundtrip(const RoundtripOptions& options) {
  const KvShape shape = parse_kv_shape(options.shape, options.dtype, options.chunk_tokens);
  const ProfileChoice choice = choose_profile(options.profile, options.calibration, shape.geometry);
  const Profile& profile = choice.profile;
  const std::vector<std::byte> original = read_kv_dump(options.in, shape);
  if (!options.records.empty()) std::filesystem::create_directories(options.records);
  std::vector<std::byte> chunks = cut_into_chunks(original, shape);
  uint64_t record_bytes = 0;
  for (uint32_t chunk = 0; chunk < shape.chunks(); ++chunk) {
    const size_t chunk_bytes = shape.geometry.chunk_bytes();
    record_bytes += send_chunk(options, profile, shape, chunk,
                               std::span(chunks).subspan(chunk * chunk_bytes, chunk_bytes));
  }
  const std::vector<std::byte> back = join_chunks(chunks, shape);
  write_file(options.out, back);
  const Deviation found = deviation_between(original, back, shape.geometry.element);
  fmt::print("profile    {}\n", profile.name());
  fmt::print("size       {} of KV in {} of records, everything counted: {:.3f}x smaller\n",
             format_byte_size(shape.bytes()), format_byte_size(record_bytes),
             static_cast<double>(shape.bytes()) / static_cast<double>(record_bytes));
  fmt::print("error      mean {:.6g}, max {:.6g} (mean magnitude of the values {:.6g})\n", found.mean,
             found.max, found.mean_magnitude);
  if (found.not_finite > 0)
    fmt::print("           {} values are NaN or infinite: kept as they are\n", found.not_finite);
  fmt::print("records    {}\n",
             options.records.empty() ? "not kept (--records DIR keeps them)" : options.records);
  return 0;
}

}  // namespace

Command add_codec_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("codec", "Try the codec on a KV cache in a file");
  app->footer(kGroupFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

Command add_roundtrip_command(CLI::App& codec) {
  CLI::App* app = codec.add_subcommand("roundtrip", "Write what a fetch would deliver");
  app->footer(kFooter);
  const auto options = std::make_shared<RoundtripOptions>();
  app->add_option("in", options->in, "the KV cache")->type_name("IN")->required();
  app->add_option("out", options->out, "where to write what would be delivered")
      ->type_name("OUT")
      ->required();
  app->add_option("--shape", options->shape, "LAYERSx2xTOKENSxCHANNELS or LAYERSx2xTOKENSxHEADSxDIM")
      ->required();
  app->add_option("--dtype", options->dtype, "type of the elements")
      ->check(CLI::IsMember({"fp16", "bf16"}))
      ->capture_default_str();
  app->add_option("--profile", options->profile, "codec profile")->capture_default_str();
  app->add_option("--calibration", options->calibration, "of the model, for near, balanced and far")
      ->type_name("FILE");
  app->add_option("--chunk-tokens", options->chunk_tokens, "tokens of a chunk")
      ->check(CLI::Range(1u, kChunkTokensMax))
      ->capture_default_str();
  app->add_option("--records", options->records, "a folder to keep the records in")->type_name("DIR");
  return {app, [options] { return run_roundtrip(*options); }};
}

}  // namespace shadowserve
