// The SmartNICs that the simulator knows, and the two parameters that are fitted to what a paper measured on
// one.
#pragma once

#include <string>

#include "sim/nic/fetch_simulation.h"

namespace shadowserve::nic {

/// What ShadowServe's authors measured on a BlueField-3 (arXiv 2509.16857): the network stage alone, and the
/// same stage in the whole pipeline.
inline constexpr double kPaperAloneGbit = 37.3;
inline constexpr double kPaperPipelineGbit = 20.6;

/// How a SmartNIC divides the work between its engines and its cores.
enum class NicWay : uint8_t {
  kEngines,  ///< decompression engine, dequantizing cores, DMA: the paper's pipeline
  kOnePass,  ///< cores decode and dequantize in one pass; values go to memory, the DMA engine reads them
             ///< there
  kOnePassCached,  ///< the same, and the DMA engine finds values in the cores' caches
};

/// The two numbers that the paper's points fix. Everything else of a machine is an assumption with a source
/// (docs/simulators/nic.md).
struct NicFit {
  double network_gbit_s = 0;  ///< of the card's way from the wire to memory, which all lanes share
  double memory_gb_s = 0;     ///< that all stages share
};

/// BlueField-3: 16 Cortex-A78 cores, DDR5, engines for Deflate and DMA.
NicMachine bluefield3(const NicFit& fit, const RecordSet& records, NicWay way);
/// What its successor is announced to be: 64 Neoverse V2 cores of a Grace CPU's kind with its memory. An
/// assumption, not a measurement: no such part was at hand, and whether it has a Deflate engine is not known.
NicMachine bluefield4(const NicFit& fit, const RecordSet& records, NicWay way);

/// The network's way is taken as the paper saw it alone, since every lane receives and no core of ours could
/// be what limited it; the memory is found by simulating the plane until the whole pipeline does 20.6.
/// `parts` are fetched for each look: more is slower and steadier. kConfig when a plane cannot be made, or no
/// such machine receives both rates.
Result<NicFit> fit_to_paper(const RecordSet& records, uint64_t parts, std::string& message);

/// The same machine with nothing but its receiving stages and its link, and ample memory.
NicMachine only_receiving(const NicMachine& machine);
/// A plan behind this link with so many parts counted, after the pipeline has filled.
FetchPlan steady_plan(const NicMachine& machine, double link_gbit_s, uint64_t parts);

}  // namespace shadowserve::nic
