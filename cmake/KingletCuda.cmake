# Is there a CUDA toolkit, and which chips does it compile for? Says in one line what it found.
#
# KINGLET_CUDA=OFF looks for nothing, AUTO takes a toolkit where there is one, ON refuses to go on without one.
# Sets KINGLET_CUDA_FOUND and KINGLET_CUDA_BACKEND (a toolkit, and sources under cuda/ for it).

set(KINGLET_CUDA AUTO CACHE STRING "CUDA: AUTO (where there is a toolkit), ON (required) or OFF")
set_property(CACHE KINGLET_CUDA PROPERTY STRINGS AUTO ON OFF)
set(KINGLET_CUDA_ARCHITECTURES "" CACHE STRING
    "Chips to compile for, as in \"80;90a\"; empty: those of 75 80 86 87 89 90a 100 110 120 that nvcc lists")

set(KINGLET_CUDA_FOUND OFF)
set(KINGLET_CUDA_BACKEND OFF)
string(TOUPPER "${KINGLET_CUDA}" kinglet_cuda)
if(kinglet_cuda STREQUAL "OFF")
  message(STATUS "Kinglet: CUDA is off (KINGLET_CUDA=OFF)")
  return()
elseif(NOT kinglet_cuda MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "Kinglet: KINGLET_CUDA=${KINGLET_CUDA} is none of AUTO, ON and OFF")
endif()

find_package(CUDAToolkit QUIET)
if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
  if(kinglet_cuda STREQUAL "ON")
    message(FATAL_ERROR "Kinglet: KINGLET_CUDA=ON, but no CUDA toolkit was found; name its folder with "
                        "-DCUDAToolkit_ROOT=DIR, or build without it with -DKINGLET_CUDA=OFF")
  endif()
  message(STATUS "Kinglet: no CUDA toolkit found, building for the CPU alone")
  return()
endif()
set(KINGLET_CUDA_FOUND ON)

# nvcc lists plain numbers; 90a, the form of 90 whose matrix instructions are not carried to later chips, is ours to ask for.
set(kinglet_chips "${KINGLET_CUDA_ARCHITECTURES}")
if(kinglet_chips STREQUAL "")
  execute_process(COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} --list-gpu-code OUTPUT_VARIABLE kinglet_nvcc_lists
                  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REPLACE "\n" ";" kinglet_nvcc_lists "${kinglet_nvcc_lists}")
  foreach(chip 75 80 86 87 89 90a 100 110 120)
    string(REPLACE "a" "" plain ${chip})
    if("sm_${plain}" IN_LIST kinglet_nvcc_lists)
      list(APPEND kinglet_chips ${chip})
    endif()
  endforeach()
endif()

file(GLOB kinglet_cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu)
if(kinglet_cuda_sources)
  set(KINGLET_CUDA_BACKEND ON)
  set(kinglet_cuda_use "building the cuda backend for ${kinglet_chips}")
else()
  set(kinglet_cuda_use "able to compile for ${kinglet_chips}; this version has no cuda backend, building for the CPU alone")
endif()
message(STATUS "Kinglet: CUDA toolkit ${CUDAToolkit_VERSION} in ${CUDAToolkit_BIN_DIR}, ${kinglet_cuda_use}")
