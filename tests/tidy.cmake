# Adds the target `tidy`: clang-tidy over every file that this build compiles. Slow, so nobody runs it by default.
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy run-clang-tidy-14 run-clang-tidy-18)
if(RUN_CLANG_TIDY)
  add_custom_target(tidy COMMAND "${RUN_CLANG_TIDY}" -quiet -p "${CMAKE_BINARY_DIR}" "${CMAKE_SOURCE_DIR}/(src|apps)/"
                    USES_TERMINAL)
endif()
