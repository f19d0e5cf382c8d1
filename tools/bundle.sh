#!/usr/bin/env bash
# Gathers what ShadowServe is on this machine into pieces for one without compiler and network: programs with the libraries
# they need, the Python package for that machine's Python, the tests that need an engine, and the benches.
set -euo pipefail
checkout=$(dirname "$(dirname "$(readlink -f "$0")")")

usage() {
  cat <<TEXT
usage: tools/bundle.sh OUT [--build DIR] [--python PYTHON] [--piece-mib N]
  OUT            folder for the pieces bundle.tar.zst.aa, .ab, ... and unpack.sh
  --build DIR    a build of the command, and with CUDA of GPU tests and benches (default: build/release)
  --python PY    interpreter of the other machine's version, with its headers (default: python3)
  --piece-mib N  size of a piece (default: 1024)
There: bash unpack.sh FOLDER, in the folder with the pieces, then . FOLDER/env.sh puts all of it on PATH and PYTHONPATH. Its C library
has to be as new as this one's, and vLLM has to be there. Example, for an engine of Python 3.12 on a GPU:
  cmake -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DSHADOWSERVE_BENCH=ON -DSHADOWSERVE_CUDA=ON && cmake --build build/gpu
  tools/bundle.sh /tmp/bundle --build build/gpu --python python3.12
TEXT
}
die() { printf 'bundle: %s\n' "$*" >&2; exit 1; }

out= build=$checkout/build/release python=python3 piece_mib=1024
while (($# > 0)); do
  case $1 in
    --build | --python | --piece-mib) (($# > 1)) || die "$1 needs a value" ;;&
    --build) build=$(readlink -f "$2"); shift ;;
    --python) python=$2; shift ;;
    --piece-mib) piece_mib=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) die "\"$1\" means nothing here: tools/bundle.sh --help" ;;
    *) [[ -z $out ]] || die "one OUT, not \"$1\" as well"; out=$1 ;;
  esac
  shift
done
[[ -n $out ]] || { usage >&2; exit 2; }
[[ -x $build/apps/shadowserve ]] || die "no shadowserve in $build: build it first, see --help"
[[ $piece_mib =~ ^[1-9][0-9]*$ ]] || die "--piece-mib $piece_mib is no size"
command -v zstd >/dev/null || die "zstd is not installed: apt install zstd"
command -v redis-server >/dev/null || die "redis-server is not installed: apt install redis-server"

whole=$(mktemp -d)
trap 'rm -rf "$whole"' EXIT
mkdir -p "$out" "$whole"/{bin,libexec,lib}

# Libraries that $1 needs, but for those of the C library and the loader, which have to be the machine's own.
take_libraries() {
  ldd "$1" | awk '$3 ~ /^\// && $3 !~ /\/lib(c|m|dl|rt|pthread|resolv)\.so/ { print $3 }' | xargs -r cp -nL -t "$whole/lib"
}

# Programs run with these libraries and no others do: through a script of two lines each.
take_program() {
  local name
  name=$(basename "$1")
  cp -L "$1" "$whole/libexec/$name"
  take_libraries "$1"
  cat >"$whole/bin/$name" <<SCRIPT
#!/bin/sh
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH=\$here/lib exec "\$here/libexec/$name" "\$@"
SCRIPT
  chmod +x "$whole/bin/$name"
}

echo "bundle: programs"
take_program "$build/apps/shadowserve"
take_program "$(command -v redis-server)"
for program in src/kernels_test src/control_test src/plane_test tests/gpu/{paged_gpu_test,paged_mover_gpu_test,copy_across_test} \
  bench/{gpu_copy_bench,gpu_pages_bench,gpu_deliverer}; do
  if [[ -x $build/$program ]]; then take_program "$build/$program"; fi
done
scatter=$build/bench/libss_scatter.so
if [[ -e $scatter ]]; then cp "$scatter" "$whole/bin/" && take_libraries "$scatter"; fi  # beside gpu_deliverer

echo "bundle: the Python package for $("$python" --version) (minutes)"
wheel=$(mktemp -d)
trap 'rm -rf "$whole" "$wheel"' EXIT
# An old-style run path holds for libraries of libraries as well.
"$python" -m pip wheel -q --no-deps -w "$wheel" "$checkout" -C "build-dir=$wheel/build" \
  -C 'cmake.define.CMAKE_INSTALL_RPATH=$ORIGIN/../../lib' -C 'cmake.define.CMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags' \
  -C 'cmake.define.CMAKE_MODULE_LINKER_FLAGS=-Wl,--disable-new-dtags'
"$python" -m zipfile -e "$wheel"/*.whl "$whole/python"
rm -rf "$whole"/python/*.data
for module in "$whole"/python/shadowserve/_native*.so; do take_libraries "$module"; done

echo "bundle: tests, benches, models"
(cd "$checkout" && tar c --exclude=__pycache__ tests/vllm tests/gpu/run.sh bench tools/models) | tar x -C "$whole"
cat >"$whole/env.sh" <<'ENV'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$here/bin:$PATH PYTHONPATH=$here/python${PYTHONPATH:+:$PYTHONPATH}
ENV
cat >"$out/unpack.sh" <<'UNPACK'
#!/usr/bin/env bash
# Unpacks the pieces beside it into a folder.
set -euo pipefail
[[ $# -eq 1 ]] || { echo "usage: bash unpack.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
from=$(dirname "$(readlink -f "$0")")
zstd=$(command -v zstd || echo "$from/zstd")
chmod +x "$from/zstd"
cat "$from"/bundle.tar.zst.* | "$zstd" -d -q --long=27 -c | tar x -C "$1"
echo "unpacked; next: . $1/env.sh"
UNPACK
cp "$(readlink -f "$(command -v zstd)")" "$out/zstd"
rm -f "$out"/bundle.tar.zst.*
tar c -C "$whole" . | zstd -q -12 -T0 --long=27 | split -b "${piece_mib}M" - "$out/bundle.tar.zst."
du -sh "$out" | cut -f1 | sed 's/^/bundle: /; s/$/ in all/'
