// The kernels' place on the double: their host twins, behind what the stream has to do before.
#include "cuda_double.h"
#include "cuda_objects.h"
#include "kernels/paged_move.h"

namespace shadowserve {
namespace {

Result<void> put(const PagedMove& move, void* stream, void (*twin)(const PagedMove&)) {
  ++cuda_double::noticed().kernels;
  static_cast<cudaStream_t>(stream)->put([=] { twin(move); }, move.staging, move.staging, move.staging_bytes);
  return {};
}

}  // namespace

Result<void> scatter_paged(const PagedMove& move, void* stream, uint32_t) {
  return put(move, stream, scatter_paged_twin);
}
Result<void> gather_paged(const PagedMove& move, void* stream, uint32_t) {
  return put(move, stream, gather_paged_twin);
}
Result<void> load_paged_kernels() { return {}; }

}  // namespace shadowserve
