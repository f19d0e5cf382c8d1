// Writes the golden records: `make_golden DIRECTORY`. Run it only for a new format version or a new golden
// record; existing files are the promise that old records stay readable.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "golden/golden_record.h"

namespace {

void write_file(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace shadowserve;
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_golden DIRECTORY\n");
    return 2;
  }
  for (const GoldenRecord& golden : kGoldenRecords) {
    const std::filesystem::path base = std::filesystem::path(argv[1]) / golden.file;
    if (std::filesystem::exists(base.string() + ".rec")) continue;
    const GoldenProfile uses(golden, argv[1]);
    const auto record = encode_golden(golden, uses.profile);
    const PartShape shape = golden_shape(golden);
    std::vector<std::byte> values(shape.value_bytes());
    const auto decoded = decode_part(record, shape, golden_key(golden), seal_key(golden_space(golden)),
                                     values, uses.model.get());
    if (!decoded) return 1;
    write_file(base.string() + ".rec", record);
    write_file(base.string() + ".values", values);
    std::printf("%s: %zu bytes\n", golden.file, record.size());
  }
  return 0;
}
