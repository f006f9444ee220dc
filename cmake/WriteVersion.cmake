cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=* WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
"// Made by cmake/WriteVersion.cmake.
#pragma once
#define DECIBAN_VERSION \"@VERSION@\"
#define DECIBAN_COMMIT \"@commit@\"
// Libraries that hand each other C++ objects must be of one build.
#define DECIBAN_BUILD_ID \"@VERSION@ (@commit@)\"
" @ONLY)
