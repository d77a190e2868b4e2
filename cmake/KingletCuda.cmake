# Is there a CUDA toolkit, and which chips does it compile for? Says in one line what it found.
#
# KINGLET_CUDA=OFF looks for nothing, AUTO says what there is, ON builds the cuda backend and refuses to go on without a
# toolkit. (AUTO will build it too, once it has run on a device: so far its kernels are proven on the tests' emulator.)
# Sets KINGLET_CUDA_BACKEND, and then defines kinglet_add_cuda(target).

set(KINGLET_CUDA AUTO CACHE STRING "CUDA: AUTO (say what there is), ON (build the cuda backend) or OFF")
set_property(CACHE KINGLET_CUDA PROPERTY STRINGS AUTO ON OFF)
set(KINGLET_CUDA_ARCHITECTURES "" CACHE STRING
    "Chips to compile for, as in \"80;90a\"; empty: those of 75 80 86 87 89 90a 100 110 120 that nvcc lists")

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

if(NOT kinglet_cuda STREQUAL "ON")
  message(STATUS "Kinglet: CUDA toolkit ${CUDAToolkit_VERSION} in ${CUDAToolkit_BIN_DIR}; building for the CPU alone "
                 "(-DKINGLET_CUDA=ON adds the cuda backend)")
  return()
endif()

if(CUDAToolkit_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "Kinglet: the CUDA toolkit in ${CUDAToolkit_BIN_DIR} is ${CUDAToolkit_VERSION}, and the kernels need "
                      "12.4; name another folder with -DCUDAToolkit_ROOT=DIR, or build with -DKINGLET_CUDA=OFF")
endif()

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

set(KINGLET_CUDA_BACKEND ON)
message(STATUS "Kinglet: CUDA toolkit ${CUDAToolkit_VERSION} in ${CUDAToolkit_BIN_DIR}, building the cuda backend for "
               "${kinglet_chips}")

# Adds the cuda backend to the library. The kernels are a target of their own: nvcc knows none of the C++ flags.
function(kinglet_add_cuda target)
  file(GLOB host CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cpp)
  file(GLOB units CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu)
  set(architectures "")
  foreach(chip IN LISTS kinglet_chips)
    list(APPEND architectures ${chip}-real)
  endforeach()
  add_library(kinglet_cuda OBJECT ${units})
  target_include_directories(kinglet_cuda PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include
                                                  ${PROJECT_SOURCE_DIR}/src)
  # The bits promise: no contraction, no flush to zero, IEEE division and square root (the last two are the default).
  # (The dialect by hand: CMake 3.25 does not know that this nvcc has it.)
  target_compile_options(kinglet_cuda PRIVATE -std=c++20 -fmad=false -ftz=false -prec-div=true -prec-sqrt=true
                                              -Xcompiler=-ffp-contract=off,-Wall,-Wextra)
  if(KINGLET_WERROR)
    target_compile_options(kinglet_cuda PRIVATE -Werror=all-warnings -Xptxas=--warn-on-spills,--warn-on-local-memory-usage,--warning-as-error)
  endif()
  target_link_libraries(kinglet_cuda PRIVATE $<BUILD_INTERFACE:fmt::fmt-header-only>)
  set_target_properties(kinglet_cuda PROPERTIES
    CUDA_ARCHITECTURES "${architectures}"
    CUDA_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_sources(${target} PRIVATE ${host} $<TARGET_OBJECTS:kinglet_cuda>)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/ops/backends.cpp APPEND PROPERTY COMPILE_DEFINITIONS KINGLET_CUDA_BACKEND)
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
endfunction()

set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80)  # for CMake's own try; the kernels name theirs
endif()
if(CMAKE_CXX_COMPILER_LAUNCHER AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
enable_language(CUDA)
