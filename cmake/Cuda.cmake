# Finds the CUDA compiler and sets DECIBAN_CUDA_FOUND; says why where there is none.  The program itself never links
# CUDA: only the module does (engine/cuda), which is opened when a device is asked for.
#
#   DECIBAN_CUDA                AUTO: with nvcc if it is there; ON: an error without; OFF
#   DECIBAN_CUDA_ARCHITECTURES  "90a": machine code for sm_90a; "120-virtual": PTX that newer cards compile for themselves
set(DECIBAN_CUDA AUTO CACHE STRING "Build the CUDA module: AUTO, ON or OFF")
set_property(CACHE DECIBAN_CUDA PROPERTY STRINGS AUTO ON OFF)
if(DEFINED ENV{CI})  # a continuous integration's minutes go to one architecture
  set(cuda_architectures 90a)
else()
  set(cuda_architectures 80 90a 100 120-virtual)
endif()
set(DECIBAN_CUDA_ARCHITECTURES "${cuda_architectures}" CACHE STRING "What the CUDA module is compiled for")

set(DECIBAN_CUDA_FOUND OFF)
set(cuda_reason "")
if(NOT DECIBAN_CUDA)
  set(cuda_reason "DECIBAN_CUDA is OFF")
elseif(DECIBAN_SANITIZE)
  set(cuda_reason "this build has sanitizers, which cudart does not bear")
else()
  find_program(DECIBAN_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDACXX} PATHS /usr/local/cuda/bin
               DOC "The CUDA compiler")
  if(NOT DECIBAN_NVCC)
    set(cuda_reason "no nvcc in PATH, \$CUDA_HOME/bin or /usr/local/cuda/bin")
  endif()
endif()
if(cuda_reason)
  if(DECIBAN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "DECIBAN_CUDA is ON, but ${cuda_reason}")
  endif()
  message(STATUS "CUDA module: not built (${cuda_reason})")
  return()
endif()

# CMake 3.25 knows neither "90a" nor CUDA C++20: both are given as options, and CMake's own choice is switched off.
set(CMAKE_CUDA_COMPILER ${DECIBAN_NVCC})
set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(cuda_code_options)
foreach(architecture ${DECIBAN_CUDA_ARCHITECTURES})
  if(architecture MATCHES "^([0-9]+[af]?)-virtual$")
    list(APPEND cuda_code_options -gencode=arch=compute_${CMAKE_MATCH_1},code=compute_${CMAKE_MATCH_1})
  elseif(architecture MATCHES "^[0-9]+[af]?$")
    list(APPEND cuda_code_options -gencode=arch=compute_${architecture},code=sm_${architecture})
  else()
    message(FATAL_ERROR "DECIBAN_CUDA_ARCHITECTURES: '${architecture}' is not like 80, 90a or 120-virtual")
  endif()
endforeach()
set(DECIBAN_CUDA_FOUND ON)
message(STATUS "CUDA module: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${DECIBAN_CUDA_ARCHITECTURES}")
