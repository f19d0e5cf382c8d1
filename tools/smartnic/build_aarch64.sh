#!/usr/bin/env bash
# Builds the command for aarch64, as build/aarch64/emulated/shadowserve starts it; quick when it is up to date.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
log=build/aarch64-build.log
[[ -x build/aarch64/emulated/shadowserve ]] || echo "[demo] building the data plane for aarch64: some minutes, once (log: $log)"
if ! { cmake --preset aarch64 && cmake --build build/aarch64 -j "$(nproc)" --target shadowserve_command; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "[demo] the build for aarch64 failed: $log" >&2
  exit 1
fi
