#!/usr/bin/env bash
# Runs the GPU tests and the bench of a build, or of a folder with nothing but those programs in it; needs only a driver.
set -uo pipefail

if [[ $# -lt 1 || ! -d $1 ]]; then
  echo "usage: $0 FOLDER [REPEATS]    the build folder, or one into which its GPU programs were copied" >&2
  exit 2
fi
folder=$1 repeats=${2:-9} failed=0

find_program() {
  local place
  for place in "$folder" "$folder/tests/gpu" "$folder/src" "$folder/bench"; do
    [[ -x $place/$1 ]] && echo "$place/$1" && return
  done
}

run() {
  local program
  program=$(find_program "$1")
  if [[ -z $program ]]; then
    echo "--- $1: not built in $folder"
    [[ $1 == gpu_copy_bench ]] || failed=1
    return
  fi
  shift
  echo "--- $program $*"
  "$program" "$@" || { echo "--- $program: exit code $?"; failed=1; }
}

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
run kernels_test --gtest_brief=1
run paged_gpu_test
run paged_mover_gpu_test
run copy_across_test
run gpu_copy_bench "$repeats"
exit "$failed"
