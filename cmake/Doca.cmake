# Finds NVIDIA's DOCA SDK, which the BlueField engines need; without it nothing else changes.
set(SHADOWSERVE_DOCA "AUTO" CACHE STRING "BlueField engines: AUTO = if pkg-config knows DOCA's libraries, ON = required, OFF")
set_property(CACHE SHADOWSERVE_DOCA PROPERTY STRINGS AUTO ON OFF)

set(SHADOWSERVE_DOCA_FOUND OFF)
if(SHADOWSERVE_DOCA STREQUAL "OFF")
  message(STATUS "DOCA: without, it was not asked for (SHADOWSERVE_DOCA=OFF)")
else()
  # The SDK's own modules; where they are the packages tell PKG_CONFIG_PATH (/opt/mellanox/doca/lib/ARCH/pkgconfig).
  pkg_check_modules(DOCA IMPORTED_TARGET GLOBAL doca-common doca-compress doca-dma)
  if(DOCA_FOUND)
    set(SHADOWSERVE_DOCA_FOUND ON)
    message(STATUS "DOCA: with ${DOCA_doca-common_VERSION}")
    add_library(doca_sdk INTERFACE)
    target_link_libraries(doca_sdk INTERFACE PkgConfig::DOCA)
    # Most of the SDK is marked experimental, and says so at every call unless told that we know.
    target_compile_definitions(doca_sdk INTERFACE DOCA_ALLOW_EXPERIMENTAL_API)
  elseif(SHADOWSERVE_DOCA STREQUAL "ON")
    message(FATAL_ERROR "DOCA was asked for (SHADOWSERVE_DOCA=ON), but pkg-config does not know doca-common, "
                        "doca-compress and doca-dma: is the SDK's pkgconfig folder in PKG_CONFIG_PATH?")
  else()
    message(STATUS "DOCA: without, pkg-config does not know doca-common, doca-compress and doca-dma")
  endif()
endif()
