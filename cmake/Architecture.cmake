# DECIBAN_ARCH: whose kernels are compiled, x86_64 or aarch64.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(DECIBAN_ARCH x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(DECIBAN_ARCH aarch64)
  # Every ARM CPU has a fused multiply-add, and GCC would make one of any product and sum that it sees together: the same
  # formula would then round one way in a coder and another way in its decoder.  x86-64 without AVX has none to use.
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>)
else()
  message(FATAL_ERROR "There are kernels for x86_64 and aarch64, not for '${CMAKE_SYSTEM_PROCESSOR}'")
endif()
