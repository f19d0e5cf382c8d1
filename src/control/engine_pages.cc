// Every sentence here ends up in front of whoever starts an engine.
#include "control/engine_pages.h"

#include <fmt/format.h>

#include "control/device_page_mover.h"
#include "control/host_page_mover.h"
#include "kernels/paged_runs.h"

namespace shadowserve {
namespace {

std::vector<std::byte*> bases_of(const ss_pages& pages) {
  std::vector<std::byte*> bases;
  for (uint32_t layer = 0; layer < pages.layers; ++layer)
    bases.push_back(static_cast<std::byte*>(pages.layer_base[layer]));
  return bases;
}

Result<std::unique_ptr<PageMover>> host_mover(const ss_pages& pages, const KvGeometry& geometry,
                                              std::string& message) {
  PageMap map;
  map.geometry = geometry;
  map.shape = {static_cast<PageLayout>(pages.layout),
               pages.page_tokens,
               geometry.kv_heads,
               geometry.head_dim,
               pages.head_stride_bytes,
               static_cast<uint32_t>(geometry.element_bytes()),
               geometry.planes_per_layer};
  map.pages = pages.pages;
  map.page_stride_bytes = pages.page_stride_bytes;
  map.layer_base = bases_of(pages);
  if (auto valid = map.validate(message); !valid) return fail(valid.error());
  return std::make_unique<HostPageMover>(std::move(map));
}

Result<std::unique_ptr<PageMover>> device_mover(const ss_pages& pages, const KvGeometry& geometry,
                                                const StagingPlace& place, std::string& message) {
  if (pages.layout != SS_PAGES_STRIDED) {
    message = fmt::format("page layout {} is not for a GPU: describe the pages by strides (SS_PAGES_STRIDED)",
                          pages.layout);
    return fail(Error::kConfig);
  }
  if (pages.page_tokens == 0 || geometry.chunk_tokens % pages.page_tokens != 0) {
    message = fmt::format("page_tokens {} does not divide chunk_tokens {}", pages.page_tokens,
                          geometry.chunk_tokens);
    return fail(Error::kConfig);
  }
  const auto element_bytes = static_cast<uint32_t>(geometry.element_bytes());
  for (const uint64_t stride : {pages.plane_stride_bytes, pages.page_stride_bytes, pages.token_stride_bytes,
                                pages.head_stride_bytes}) {
    if (stride % element_bytes == 0) continue;
    message = fmt::format("a stride of {} bytes is not a whole number of elements", stride);
    return fail(Error::kConfig);
  }
  PagedMover::Memory memory;
  memory.device = place.device;
  memory.layout = {geometry.layers,
                   geometry.planes_per_layer,
                   geometry.kv_heads,
                   geometry.head_dim,
                   element_bytes,
                   pages.page_tokens,
                   pages.pages,
                   pages.plane_stride_bytes / element_bytes,
                   pages.page_stride_bytes / element_bytes,
                   pages.token_stride_bytes / element_bytes,
                   pages.head_stride_bytes / element_bytes};
  memory.layer_base = bases_of(pages);
  memory.chunk_tokens = geometry.chunk_tokens;
  if (!place.on_gpu && !PagedRuns::fit(memory.layout)) {
    message = "direct_pages is for pages in which the heads of a token lie together: leave it out";
    return fail(Error::kConfig);
  }
  auto mover = PagedMover::create(std::move(memory), place.on_gpu ? PagedWay::kKernel : PagedWay::kCopies);
  if (!mover) {
    message = fmt::format("GPU {} cannot move these pages: {}", place.device, error_sentence(mover.error()));
    return fail(mover.error());
  }
  return std::make_unique<DevicePageMover>(std::move(*mover));
}

}  // namespace

Result<std::unique_ptr<PageMover>> make_page_mover(const ss_pages& pages, const KvGeometry& geometry,
                                                   const StagingPlace& place, std::string& message) {
  return place.device < 0 ? host_mover(pages, geometry, message)
                          : device_mover(pages, geometry, place, message);
}

}  // namespace shadowserve
