# Toolchain: 64-bit ARM Linux with Debian's cross compiler (docs/aarch64.md).  Headers and libraries come from a folder of
# unpacked ARM packages that scripts/aarch64.sh makes; tests run in qemu-user.
#
#   DECIBAN_SYSROOT    that folder; default: build/aarch64-sysroot
#   DECIBAN_QEMU_CPU   the CPU that qemu emulates; default: max, which has every instruction set
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc-12)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)

get_filename_component(deciban_root "${CMAKE_CURRENT_LIST_DIR}/.." REALPATH)
set(DECIBAN_SYSROOT "${deciban_root}/build/aarch64-sysroot" CACHE PATH "Unpacked ARM packages")
set(DECIBAN_QEMU_CPU max CACHE STRING "The CPU that qemu emulates for tests")
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES DECIBAN_SYSROOT DECIBAN_QEMU_CPU)
if(NOT EXISTS "${DECIBAN_SYSROOT}/usr/include")
  message(FATAL_ERROR "${DECIBAN_SYSROOT} has no usr/include; run scripts/aarch64.sh sysroot")
endif()
set(CMAKE_SYSROOT "${DECIBAN_SYSROOT}")

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_DIR} "")
set(ENV{PKG_CONFIG_LIBDIR} "${DECIBAN_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${DECIBAN_SYSROOT}/usr/share/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${DECIBAN_SYSROOT}")

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L "${DECIBAN_SYSROOT}" -cpu "${DECIBAN_QEMU_CPU}")
