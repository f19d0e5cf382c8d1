# Writes a header with the commit that is built, run by every build: cmake -DSOURCE=... -DHEADER=... -P BuildCommit.cmake
set(commit "unknown")
find_program(GIT_PROGRAM git)
if(GIT_PROGRAM)
  execute_process(COMMAND "${GIT_PROGRAM}" --no-optional-locks -C "${SOURCE}" describe --always --dirty --tags
                  OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(NOT failed AND described)
    set(commit "${described}")
  endif()
endif()
set(text "// The commit this was built from.\n#pragma once\n#define SHADOWSERVE_COMMIT \"${commit}\"\n")
# Only a new text is written, so that a build without changes compiles nothing.
if(EXISTS "${HEADER}")
  file(READ "${HEADER}" before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE "${HEADER}" "${text}")
endif()
