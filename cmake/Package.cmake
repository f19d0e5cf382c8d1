# The .deb: the command, the data plane's unit and its configuration. tools/package.sh makes it.
include(GNUInstallDirs)
set(package_files "${CMAKE_SOURCE_DIR}/packaging")
install(FILES "${package_files}/shadowserve-plane.service" DESTINATION lib/systemd/system COMPONENT service)
install(FILES "${package_files}/sysusers.conf" DESTINATION lib/sysusers.d RENAME shadowserve.conf COMPONENT service)
install(FILES "${package_files}/plane.toml" DESTINATION /etc/shadowserve COMPONENT service)
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" DESTINATION share/doc/shadowserve RENAME copyright COMPONENT service)
install(FILES "${CMAKE_SOURCE_DIR}/docs/smartnic.md" "${CMAKE_SOURCE_DIR}/docs/running.md"
        DESTINATION share/doc/shadowserve COMPONENT service)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME shadowserve)
set(CPACK_PACKAGE_VENDOR ShadowServe)
set(CPACK_PACKAGE_CONTACT "The ShadowServe authors <shadowserve@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "KV cache of prompt prefixes, fetched instead of computed")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "ShadowServe's data plane fetches, decompresses and stores the KV cache of prompt prefixes for LLM servers, on cores
of its own or on a DPU's. This package holds the command and a service for it.")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL command service)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${package_files}/postinst" "${package_files}/prerm" "${package_files}/conffiles")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
endif()
# Dependencies on libraries: of a native build from dpkg-shlibdeps, of a cross-build from tools/package.sh, which asks the
# packages of the sysroot.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(CMAKE_CROSSCOMPILING)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
endif()
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS systemd)
# Loaded when `receive = "ucx"` or the relay asks for it.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS libucx0)
include(CPack)
