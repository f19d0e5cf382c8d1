// Walks the planes of a part and the pages of a chunk.
#include "control/page_map.h"

#include <fmt/format.h>

namespace shadowserve {

Result<void> PageMap::validate(std::string& message) const {
  if (auto valid = shape.validate(message); !valid) return valid;
  if (geometry.chunk_tokens % shape.page_tokens != 0) {
    message = fmt::format("page_tokens {} does not divide chunk_tokens {}", shape.page_tokens,
                          geometry.chunk_tokens);
    return fail(Error::kConfig);
  }
  if (pages > 1 && page_stride_bytes < shape.head_bytes()) {
    message = fmt::format("page_stride_bytes {} is less than one head's {} bytes", page_stride_bytes,
                          shape.head_bytes());
    return fail(Error::kConfig);
  }
  if (pages == 0 || pages > INT32_MAX || shape.span_bytes() > uint64_t{1} << 40 ||
      page_stride_bytes > uint64_t{1} << 40) {
    message = fmt::format("{} pages, {} bytes apart, is out of range", pages, page_stride_bytes);
    return fail(Error::kConfig);
  }
  for (const std::byte* base : layer_base) {
    if (base == nullptr) {
      message = "layer_base has a null pointer: every layer needs its memory";
      return fail(Error::kConfig);
    }
  }
  return {};
}

void PageMap::place_part(const PartShape& part, const std::byte* values, std::span<const int32_t> page_ids,
                         uint32_t token_first) const {
  const size_t page_rows = shape.page_tokens * shape.row_bytes();
  for (uint32_t index = 0; index < part.plane_count; ++index) {
    const uint32_t plane = part.plane_first + index;
    const std::byte* rows = values + index * geometry.plane_bytes();
    for (uint32_t p = token_first / shape.page_tokens; p < page_ids.size(); ++p) {
      const uint32_t page_token = p * shape.page_tokens;
      place_plane(shape, static_cast<PlaneKind>(geometry.kind_of(plane)), rows + p * page_rows,
                  page(geometry.layer_of(plane), page_ids[p]),
                  token_first > page_token ? token_first - page_token : 0);
    }
  }
}

void PageMap::gather_part(const PartShape& part, std::span<const int32_t> page_ids, std::byte* values) const {
  const size_t page_rows = shape.page_tokens * shape.row_bytes();
  for (uint32_t index = 0; index < part.plane_count; ++index) {
    const uint32_t plane = part.plane_first + index;
    std::byte* rows = values + index * geometry.plane_bytes();
    for (uint32_t p = 0; p < page_ids.size(); ++p) {
      gather_plane(shape, static_cast<PlaneKind>(geometry.kind_of(plane)),
                   page(geometry.layer_of(plane), page_ids[p]), rows + p * page_rows);
    }
  }
}

}  // namespace shadowserve
