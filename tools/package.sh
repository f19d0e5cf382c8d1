#!/usr/bin/env bash
# Makes a .deb of the command and the data plane's service from a build that is there.
set -euo pipefail
checkout=$(dirname "$(dirname "$(readlink -f "$0")")")

usage() {
  cat <<TEXT
usage: tools/package.sh native | arm64 [BUILD]
  native   for this machine, from BUILD or build/release (cmake --preset release && cmake --build build/release)
  arm64    for a DPU, from BUILD or build/aarch64 (tools/setup.sh arm64, then the preset aarch64)
The package is written to BUILD/package. Install it with: apt install ./shadowserve_*.deb
TEXT
}
die() { printf 'package: %s\n' "$*" >&2; exit 1; }

# What the sysroot's packages say one must have for each library that program $1 needs, as a Depends field.
sysroot_depends() {
  local needed name version
  readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r needed; do
    name=${needed%%.so*} version=${needed##*.so.}
    awk -v name="$name" -v version="$version" '
      $1 == name && $2 == version { $1 = $2 = ""; sub(/^ +/, ""); print; found = 1; exit }
      END { if (!found) exit 1 }' "$checkout"/build/aarch64-sysroot/packages/*.shlibs ||
      die "no package of the sysroot says what $needed needs: run tools/setup.sh arm64 again"
  done | sed "s/^libstdc++6\$/libstdc++6 (>= $(aarch64-linux-gnu-g++ -dumpversion))/" | sort -u | paste -sd, | sed 's/,/, /g'
}

[[ $# -ge 1 && $# -le 2 ]] || { usage >&2; exit 2; }
more=()
case $1 in
  native) build=${2:-$checkout/build/release} ;;
  arm64) build=${2:-$checkout/build/aarch64} ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
[[ -x $build/apps/shadowserve ]] || die "no shadowserve in $build: build it first, see tools/package.sh --help"
if [[ $1 == arm64 ]]; then
  depends=$(sysroot_depends "$build/apps/shadowserve")
  more=(-D "CPACK_DEBIAN_PACKAGE_DEPENDS=$depends")
fi
mkdir -p "$build/package"
rm -f "$build"/package/*.deb
log=$build/package/cpack.log
(cd "$build" && cpack -G DEB --config CPackConfig.cmake -B "$build/package" "${more[@]}") >"$log" 2>&1 ||
  { tail -n 25 "$log" >&2; die "cpack failed"; }
rm -rf "$build/package/_CPack_Packages"
package=$(ls "$build"/package/*.deb)
echo "$package"
