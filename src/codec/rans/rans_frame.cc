// Bytes of a rANS frame, written and read. Nothing read is believed before it was checked.
#include "codec/rans/rans_frame.h"

#include <algorithm>
#include <cstring>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr size_t kStateBytes = kRansLanes * sizeof(uint16_t);

// Flags of a segment.
constexpr uint16_t kEscape = 1;
constexpr uint16_t kSharedTable = 2;

template <typename T>
void put(std::span<std::byte> to, size_t at, T value) {
  std::memcpy(to.data() + at, &value, sizeof value);  // all targets are little-endian
}

template <typename T>
T get(std::span<const std::byte> from, size_t at) {
  T value;
  std::memcpy(&value, from.data() + at, sizeof value);
  return value;
}

const uint8_t* bytes_of(std::span<const std::byte> span) {
  return reinterpret_cast<const uint8_t*>(span.data());
}

size_t head_bytes(std::span<const RansSegment> segments) {
  size_t size = kRansFixedBytes;
  for (const RansSegment& segment : segments)
    size += kRansSegmentBytes + (segment.shared ? 0 : segment.table.count);
  return size;
}

void write_head(std::span<const RansSegment> segments, size_t literals, std::span<std::byte> coded) {
  put(coded, 0, static_cast<uint32_t>(segments.size()));
  put(coded, 4, static_cast<uint32_t>(literals));
  size_t at = kRansFixedBytes;
  for (const RansSegment& segment : segments) {
    const RansTable& table = segment.table;
    put(coded, at, segment.symbols);
    put(coded, at + 4, segment.shared ? uint8_t{0} : table.base);
    put(coded, at + 5, segment.shared ? *segment.shared : table.count);
    put(coded, at + 6, segment.shared ? kSharedTable : static_cast<uint16_t>(table.escape ? kEscape : 0));
    at += kRansSegmentBytes;
    if (segment.shared) continue;
    std::memcpy(coded.data() + at, table.frequency.data(), table.count);
    at += table.count;
  }
}

}  // namespace

RansTableSet::RansTableSet(std::vector<RansTable> valid) : tables(std::move(valid)) {
  SS_CHECK(tables.size() <= 256, "a table's number is a byte");
  lookups.reserve(tables.size());
  for (const RansTable& table : tables) lookups.emplace_back(table);
}

Result<size_t> write_rans_frame(std::span<const RansSegment> segments, std::span<const std::byte> symbols,
                                std::span<std::byte> coded) {
  SS_CHECK(!segments.empty() && segments.size() <= kRansSegmentsMax, "a frame has 1 to 16 segments");
  const size_t states_at = head_bytes(segments);
  const size_t literals_at = states_at + kStateBytes;
  if (coded.size() < literals_at) return fail(Error::kNoCapacity);
  const uint8_t* const from = bytes_of(symbols);
  auto* const to = reinterpret_cast<uint8_t*>(coded.data());

  size_t literals = 0, first = 0;
  for (const RansSegment& segment : segments) {
    const size_t room = coded.size() - literals_at - literals;
    const size_t found =
        rans_literals_simd(segment.table, from + first, segment.symbols, to + literals_at + literals, room);
    if (found > room) return fail(Error::kNoCapacity);
    literals += found;
    first += segment.symbols;
  }
  SS_CHECK(first == symbols.size(), "segments cover the frame");

  // Encoding runs backwards, so the stream grows down from the end of the room and is moved to its place
  // after.
  RansWriting writing;
  writing.lanes.fill(kRansStateMin);
  writing.stream = to + coded.size();
  writing.stream_begin = to + literals_at + literals;
  for (size_t i = segments.size(); i-- > 0;) {
    first -= segments[i].symbols;
    const RansEncodeLookup lookup(segments[i].table);
    if (!rans_encode_simd(lookup, writing, from + first, segments[i].symbols))
      return fail(Error::kNoCapacity);
  }
  const auto stream_bytes = static_cast<size_t>(to + coded.size() - writing.stream);
  std::memmove(writing.stream_begin, writing.stream, stream_bytes);
  write_head(segments, literals, coded);
  std::memcpy(to + states_at, writing.lanes.data(), kStateBytes);
  return literals_at + literals + stream_bytes;
}

Result<size_t> write_rans_frame(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  if (symbols.empty()) return fail(Error::kNoCapacity);  // nothing to fit a table to; nothing to gain either
  SymbolCounts counts{};
  count_symbols({bytes_of(symbols), symbols.size()}, counts);
  const RansSegment segment{static_cast<uint32_t>(symbols.size()), fit_rans_table(counts), std::nullopt};
  return write_rans_frame({&segment, 1}, symbols, coded);
}

Result<void> RansReader::read_segment(std::span<const std::byte> coded, size_t& at, RansSegment& segment) {
  if (coded.size() - at < kRansSegmentBytes) return fail(Error::kRecordMalformed);
  RansTable& table = segment.table;
  segment.symbols = get<uint32_t>(coded, at);
  const auto base = get<uint8_t>(coded, at + 4);
  const auto count = get<uint8_t>(coded, at + 5);
  const auto flags = get<uint16_t>(coded, at + 6);
  at += kRansSegmentBytes;
  if (segment.symbols == 0) return fail(Error::kRecordMalformed);
  if (flags == kSharedTable) {
    if (base != 0) return fail(Error::kRecordMalformed);
    if (shared_ == nullptr || count >= shared_->tables.size()) return fail(Error::kUnsupported);
    segment.shared = count;
    return {};
  }
  if (flags > kEscape || count > kRansEntriesMax || coded.size() - at < count)
    return fail(Error::kRecordMalformed);
  segment.shared.reset();
  table.base = base;
  table.count = count;
  table.escape = flags == kEscape;
  table.frequency.fill(0);
  std::memcpy(table.frequency.data(), coded.data() + at, count);
  at += count;
  if (!table.valid()) return fail(Error::kRecordMalformed);
  return {};
}

void RansReader::begin_segment(uint32_t index) {
  const RansSegment& segment = segments_[index];
  segment_ = index;
  segment_left_ = segment.symbols;
  if (segment.shared) {
    lookup_ = &shared_->lookups[*segment.shared];
    return;
  }
  own_lookup_ = RansLookup(segment.table);
  lookup_ = &own_lookup_;
}

Result<void> RansReader::open(std::span<const std::byte> coded, size_t symbols, const RansTableSet* shared) {
  shared_ = shared;
  if (coded.size() < kRansFixedBytes) return fail(Error::kRecordMalformed);
  const auto count = get<uint32_t>(coded, 0);
  const size_t literals = get<uint32_t>(coded, 4);
  if (count == 0 || count > kRansSegmentsMax) return fail(Error::kRecordMalformed);
  size_t at = kRansFixedBytes;
  size_t covered = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (auto read = read_segment(coded, at, segments_[i]); !read) return read;
    covered += segments_[i].symbols;
  }
  const size_t rest = coded.size() - at;
  if (covered != symbols || rest < kStateBytes || rest - kStateBytes < literals) {
    return fail(Error::kRecordMalformed);
  }
  std::memcpy(reading_.lanes.data(), coded.data() + at, kStateBytes);
  reading_.literals = bytes_of(coded) + at + kStateBytes;
  reading_.literals_end = reading_.stream = reading_.literals + literals;
  reading_.stream_end = bytes_of(coded) + coded.size();
  reading_.overrun = false;
  segment_count_ = count;
  begin_segment(0);
  return {};
}

void RansReader::next(uint8_t* symbols, size_t count) {
  while (count > 0) {
    if (segment_left_ == 0) {
      SS_CHECK(segment_ + 1 < segment_count_, "as many symbols are asked for as there are");
      begin_segment(segment_ + 1);
    }
    const size_t now = std::min(count, segment_left_);
    SS_CHECK(now % kRansLanes == 0 || now == segment_left_, "pieces are whole groups of lanes");
    rans_decode_simd(*lookup_, reading_, symbols, now);
    symbols += now;
    count -= now;
    segment_left_ -= now;
  }
}

Result<void> RansReader::next_rows(const SymbolRows& rows) {
  if (!has_segment()) return fail(Error::kRecordMalformed);
  if (segment_left_ == 0) begin_segment(segment_ + 1);
  if (segment_left_ != rows.width * rows.count) return fail(Error::kRecordMalformed);
  rans_decode_rows_simd(*lookup_, reading_, rows);
  segment_left_ = 0;
  return {};
}

bool RansReader::read_rows(const FrameShape& shape, const uint8_t* scales, uint8_t* values, ScaleCache& cache,
                           bool stream) {
  if (segment_count_ != 1) return false;
  SS_CHECK(segment_left_ == size_t{shape.tokens} * shape.channels,
           "nothing was read, and the frame is this shape's");
  if (!rans_rows_simd(shape, *lookup_, reading_, scales, values, cache, stream)) return false;
  segment_left_ = 0;
  return true;
}

Result<void> RansReader::read_all(std::span<const std::byte> coded, std::span<std::byte> symbols) {
  if (auto opened = open(coded, symbols.size()); !opened) return opened;
  next(reinterpret_cast<uint8_t*>(symbols.data()), symbols.size());
  return finish();
}

Result<void> RansReader::finish() const {
  SS_CHECK(!has_segment(), "every symbol was asked for");
  const bool at_start = std::all_of(reading_.lanes.begin(), reading_.lanes.end(),
                                    [](uint16_t lane) { return lane == kRansStateMin; });
  const bool complete = !reading_.overrun && reading_.stream == reading_.stream_end &&
                        reading_.literals == reading_.literals_end;
  if (!at_start || !complete) return fail(Error::kRecordMalformed);
  return {};
}

}  // namespace shadowserve
