// Doctor's look at the machine itself.
#include <fmt/format.h>
#include <hwy/targets.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bluefield/bluefield_device.h"
#include "codec/codec.h"
#include "doctor.h"
#include "memory/shared_region.h"
#include "store/store_url.h"
#include "world/receive_choice.h"
#include "world/stream_io_uring.h"
#include "world/ucx/stream_ucx.h"

namespace shadowserve {
namespace {

constexpr uint64_t kMiB = 1u << 20;
/// What one engine shares with the plane unless it says otherwise (ss_options.staging_bytes).
constexpr uint64_t kStagingBytes = 256 * kMiB;

uint64_t slot_bytes(const Settings& settings) {
  const uint64_t fetch = kRecordBytesMax + kSymbolBytesMax + kPartValueBytesMax;
  return settings.fetch_slots() * fetch + settings.count("save_slots") * (fetch + kScaleBytesMax);
}

Finding examine_cores(const Settings& settings) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  const int usable = CPU_COUNT(&allowed);
  const std::vector<int> wanted = settings.cores("cores");
  Finding finding{Finding::kOk, "cores", fmt::format("{} usable", usable), ""};
  for (const int core : wanted) {
    if (CPU_ISSET(static_cast<unsigned>(core), &allowed)) continue;
    finding.grade = Finding::kFail;
    finding.found += fmt::format("; core {} is wanted ({}) but not there", core, settings.origin("cores"));
    finding.advice = "choose cores that this process may use: taskset -pc $$";
    return finding;
  }
  if (usable < 2) {
    finding.grade = Finding::kWarn;
    finding.advice =
        "engine and data plane will share one core: expect the engine to slow down while it fetches";
  } else if (wanted.empty()) {
    finding.found += "; none set aside for the data plane";
    finding.advice =
        fmt::format("shadowserve plane --cores {} keeps it away from the engine's cores", usable - 1);
  } else {
    finding.found += fmt::format("; {} set aside for the data plane", wanted.size());
  }
  return finding;
}

Finding examine_simd() {
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;  // those the codec has kernels for
  const int64_t best = supported & -supported;                      // lower bits are better targets
  Finding finding{Finding::kOk, "SIMD",
                  fmt::format("{} is the best of this processor for the codec", hwy::TargetName(best)), ""};
  if (best == HWY_SCALAR || best == HWY_EMU128) {
    finding.grade = Finding::kWarn;
    finding.advice = "the codec runs on plain instructions: correct, but slow";
  }
  return finding;
}

/// A line "Name:   123 kB" of /proc/meminfo, in bytes.
uint64_t meminfo_bytes(const std::string& name) {
  std::ifstream in("/proc/meminfo");
  std::string label, unit;
  for (uint64_t amount = 0; in >> label >> amount; std::getline(in, unit)) {
    if (label == name + ":") return unit.empty() && name.starts_with("HugePages") ? amount : amount * 1024;
  }
  return 0;
}

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream in(path);
  std::getline(in, line);
  return line;
}

Finding examine_memory(const Settings& settings) {
  const uint64_t free_bytes = meminfo_bytes("MemAvailable");
  const uint64_t needed = slot_bytes(settings) + kStagingBytes;
  Finding finding{Finding::kOk, "memory",
                  fmt::format("{} free; the data plane takes about {} at start, with one engine's share",
                              format_byte_size(free_bytes), format_byte_size(needed)),
                  ""};
  if (free_bytes < 2 * needed) {
    finding.grade = free_bytes < needed ? Finding::kFail : Finding::kWarn;
    finding.advice = "use fewer slots: --fetch-slots 8 --save-slots 3";
  }
  return finding;
}

Finding examine_memory_lock(const Settings& settings) {
  Finding finding{Finding::kOk, "memory lock", "", ""};
  if (!settings.flag("pin_memory")) {
    finding.found = fmt::format("not wanted (pin_memory, {})", settings.origin("pin_memory"));
    return finding;
  }
  // Trying tells more than the limit: root and CAP_IPC_LOCK have none.
  const uint64_t wanted = slot_bytes(settings);
  auto region = SharedRegion::create("shadowserve-doctor", wanted);
  if (!region) {
    return {Finding::kFail, "memory lock",
            fmt::format("cannot even take {} of memory", format_byte_size(wanted)),
            "use fewer slots, or give this machine (or its container) more memory"};
  }
  if (region->pin()) {
    finding.found = fmt::format("{} of slots can be locked", format_byte_size(wanted));
    return finding;
  }
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  finding.grade = Finding::kWarn;
  finding.found = fmt::format("the limit is {}, slots need {}: they stay unlocked and may be swapped out",
                              format_byte_size(limit.rlim_cur), format_byte_size(wanted));
  finding.advice =
      fmt::format("ulimit -l {} (or LimitMEMLOCK= in a unit, memlock in limits.conf)", wanted / 1024 + 1);
  return finding;
}

Finding examine_huge_pages() {
  const std::string shared = first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  const size_t open = shared.find('['), close = shared.find(']');
  const std::string chosen = open < close ? shared.substr(open + 1, close - open - 1) : "not supported";
  return {
      Finding::kOk, "huge pages",
      fmt::format(
          "{} reserved; transparent ones for shared memory: {}. Not needed: this version uses small pages",
          meminfo_bytes("HugePages_Total"), chosen),
      ""};
}

Finding examine_disk(const Settings& settings) {
  Finding finding{Finding::kOk, "disk", "", ""};
  std::string message;
  const auto url = parse_store_url(settings.text("store"), message);
  if (!url || url->scheme != StoreUrl::Scheme::kRocksdb) {
    finding.found = "not used by this store";
    return finding;
  }
  // The folder itself may not exist yet: ask for the nearest one above that does.
  std::filesystem::path folder = std::filesystem::absolute(url->path);
  std::error_code ignored;
  while (!std::filesystem::exists(folder, ignored) && folder.has_relative_path())
    folder = folder.parent_path();
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0) {
    return {Finding::kFail, "disk", fmt::format("cannot look at {}", folder.string()),
            "choose another --store folder"};
  }
  const uint64_t free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  finding.found = fmt::format("{} free below {}", format_byte_size(free_bytes), folder.string());
  if (url->limit_bytes > 0)
    finding.found += fmt::format(", the store may grow to {}", format_byte_size(url->limit_bytes));
  if (access(folder.c_str(), W_OK) != 0) {
    finding.grade = Finding::kFail;
    finding.found += "; no right to write there";
    finding.advice = "choose another folder: --store rocksdb:/folder";
  } else if (free_bytes < std::max<uint64_t>(url->limit_bytes, 1000 * kMiB)) {
    finding.grade = Finding::kWarn;
    finding.advice = "lower the limit: --store 'rocksdb:/folder?limit=5GB'";
  }
  return finding;
}

/// What the firmware of each BlueField says, whether it is wanted or not.
Finding examine_bluefield(const Settings& settings) {
  const std::string& engines = settings.text("engines");
  const bool wanted = engines != "host";
  Finding finding{Finding::kOk, "BlueField", "", ""};
  if (!bluefield_built()) {
    finding.found = "not part of this build";
    if (wanted)
      finding.advice = "build on a machine with the DOCA SDK (-DSHADOWSERVE_DOCA=ON), or --engines host";
    finding.grade = wanted ? Finding::kFail : Finding::kOk;
    return finding;
  }
  bool suits = false;
  for (const BluefieldAbilities& device : find_bluefields()) {
    const auto most = [](size_t bytes) {
      return bytes > 0 ? "up to " + format_byte_size(bytes) : std::string("not at all");
    };
    finding.found += fmt::format("{}{}: firmware says it inflates Deflate {}, copies {}",
                                 finding.found.empty() ? "" : "; ", device.address,
                                 most(device.inflate_bytes_max), most(device.copy_bytes_max));
    suits = suits || (device.complete() &&
                      (engines.find('@') == std::string::npos || engines.ends_with("@" + device.address)));
  }
  if (finding.found.empty()) finding.found = "none found";
  if (wanted && !suits) {
    finding.grade = Finding::kFail;
    finding.advice = "--engines host, or name a device that inflates and copies: --engines bluefield@ADDRESS";
  }
  return finding;
}

template <typename Found>
Finding receive_finding(const Found& found) {
  if (found.usable) return {Finding::kOk, "receive", "through " + found.found, ""};
  return {Finding::kWarn, "receive", found.found + ": the data plane will receive through sockets",
          found.remedy};
}

/// Whether what was asked for can be had here; with sockets, what else could.
Finding examine_receive(const Settings& settings) {
  const std::string& asked = settings.text("receive");
  if (asked == kReceiveUcx) return receive_finding(find_ucx());
  const IoUringFinding ring = find_io_uring();
  if (asked == kReceiveIoUring) return receive_finding(ring);
  return {Finding::kOk, "receive",
          "through sockets; " + (ring.usable ? ring.found + " would work, too" : ring.found), ""};
}

}  // namespace

std::vector<Finding> examine_machine(const Settings& settings) {
  return {examine_cores(settings),       examine_simd(),           examine_memory(settings),
          examine_memory_lock(settings), examine_huge_pages(),     examine_disk(settings),
          examine_bluefield(settings),   examine_receive(settings)};
}

}  // namespace shadowserve
