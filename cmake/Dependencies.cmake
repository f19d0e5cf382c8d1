# Finds the system libraries; every one comes from Debian or Ubuntu packages (tools/apt-packages.txt).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(RocksDB REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
# Only `receive = "io_uring"` needs it; without it the command says so.
pkg_check_modules(URING IMPORTED_TARGET liburing>=2.3)
# Only `receive = "ucx"` and the relay need it, and only its headers: the library is loaded when it is wanted.
find_path(UCX_INCLUDE_DIR ucp/api/ucp.h)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  # Kernels hold vectors in structures, which the sizeless vectors of SVE cannot be: NEON is what Arm gets.
  target_compile_definitions(PkgConfig::HWY INTERFACE "HWY_DISABLED_TARGETS=(HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128)")
endif()
