# Finds nvcc and the static CUDA runtime, and compiles the few .cu files there are; without them nothing else changes.
set(SHADOWSERVE_CUDA "AUTO" CACHE STRING "GPU support: AUTO = if nvcc and the CUDA runtime are found, ON = required, OFF")
set_property(CACHE SHADOWSERVE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SHADOWSERVE_CUDA_ROOT "" CACHE PATH "Folder with CUDA's bin, include and lib, if it is not in the usual place")
# Ampere and Hopper as machine code; PTX for what comes after.
set(SHADOWSERVE_CUDA_TARGETS
    -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]
    CACHE STRING "What nvcc makes code for")

# Files of src/kernels that call CUDA's runtime; builds without it leave them out, but for the tests on a double of it.
set(SHADOWSERVE_CUDA_CALLERS current_device.cc cuda_copy_engine.cc device_memory.cc paged_copies.cc paged_kernels.cc paged_mover.cc
    stream_fence.cc)

# Sets SHADOWSERVE_CUDA_FOUND, or `why` in the caller.
function(find_cuda)
  set(SHADOWSERVE_CUDA_FOUND OFF PARENT_SCOPE)
  if(SHADOWSERVE_CUDA STREQUAL "OFF")
    set(why "it was not asked for (SHADOWSERVE_CUDA=OFF)" PARENT_SCOPE)
    return()
  endif()
  set(roots "${SHADOWSERVE_CUDA_ROOT}" "$ENV{CUDA_HOME}" /usr/local/cuda)
  find_program(SHADOWSERVE_NVCC nvcc HINTS ${roots} PATH_SUFFIXES bin)
  if(NOT SHADOWSERVE_NVCC)
    set(why "there is no nvcc (SHADOWSERVE_CUDA_ROOT says where to look)" PARENT_SCOPE)
    return()
  endif()
  # Compiler and runtime of one version: the rest comes from where nvcc is.
  file(REAL_PATH "${SHADOWSERVE_NVCC}" nvcc)
  cmake_path(GET nvcc PARENT_PATH bin)
  cmake_path(GET bin PARENT_PATH root)
  find_path(SHADOWSERVE_CUDA_INCLUDE cuda_runtime_api.h HINTS "${root}" PATH_SUFFIXES include targets/x86_64-linux/include)
  find_library(SHADOWSERVE_CUDART libcudart_static.a HINTS "${root}" PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib)
  if(NOT SHADOWSERVE_CUDA_INCLUDE OR NOT SHADOWSERVE_CUDART)
    set(why "nvcc is at ${root}, but cuda_runtime_api.h or libcudart_static.a is not" PARENT_SCOPE)
    return()
  endif()
  # A toolkit can be there and not get along with this C++ compiler.
  set(trial "${CMAKE_BINARY_DIR}/cuda_trial")
  file(WRITE "${trial}.cu" "#include <cuda_runtime.h>
#if CUDART_VERSION < 12080
#error CUDA 12.8 or later is needed, which copies in batches
#endif
__global__ void trial() {}
void go() { trial<<<1, 1>>>(); }
")
  execute_process(COMMAND "${SHADOWSERVE_NVCC}" -std=c++20 -ccbin "${CMAKE_CXX_COMPILER}" ${SHADOWSERVE_CUDA_TARGETS}
                          -c "${trial}.cu" -o "${trial}.o"
                  RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    set(why "${SHADOWSERVE_NVCC} does not work here:\n${said}" PARENT_SCOPE)
    return()
  endif()
  set(SHADOWSERVE_CUDA_FOUND ON PARENT_SCOPE)
endfunction()

find_cuda()
if(SHADOWSERVE_CUDA_FOUND)
  message(STATUS "CUDA: with ${SHADOWSERVE_NVCC} and ${SHADOWSERVE_CUDART}")
  add_library(cuda_runtime INTERFACE)
  target_include_directories(cuda_runtime SYSTEM INTERFACE "${SHADOWSERVE_CUDA_INCLUDE}")
  target_link_libraries(cuda_runtime INTERFACE "${SHADOWSERVE_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
elseif(SHADOWSERVE_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CUDA was asked for (SHADOWSERVE_CUDA=ON), but ${why}")
else()
  message(STATUS "CUDA: without, ${why}")
endif()

# cuda_sources(TARGET FILES...) adds .cu files. CMake's own CUDA language asks for a complete toolkit and a compiler of its
# choosing; the packages of PyPI are neither, and one command is all it takes.
function(cuda_sources target)
  foreach(source ${ARGN})
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${source}.o")
    cmake_path(GET object PARENT_PATH folder)
    file(MAKE_DIRECTORY "${folder}")
    add_custom_command(
      OUTPUT "${object}"
      COMMAND "${SHADOWSERVE_NVCC}" -std=c++20 -O3 -ccbin "${CMAKE_CXX_COMPILER}" ${SHADOWSERVE_CUDA_TARGETS}
              -Xcompiler=-fPIC,-Wall,-Wextra "-I${CMAKE_SOURCE_DIR}/src" -MD -MF "${object}.d" -c
              "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${source}" DEPFILE "${object}.d" VERBATIM
      COMMENT "Compiling ${source} for GPUs")
    target_sources(${target} PRIVATE "${object}")
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  endforeach()
endfunction()
