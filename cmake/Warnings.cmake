# Compile settings that every target of the project shares.
add_library(deciban_warnings INTERFACE)
target_include_directories(deciban_warnings INTERFACE ${CMAKE_SOURCE_DIR})
set(deciban_warning_options -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
list(JOIN deciban_warning_options "," cuda_host_warnings)
target_compile_options(deciban_warnings INTERFACE
                       $<$<COMPILE_LANGUAGE:C,CXX>:${deciban_warning_options}>
                       $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
                       $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${cuda_host_warnings}>)
# g++ 12 sees overlapping copies in "text" + std::string, where there are none (GCC bug 105651).
target_compile_options(deciban_warnings INTERFACE
                       $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
if(DECIBAN_WERROR)
  target_compile_options(deciban_warnings INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>
                         $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
if(DECIBAN_SANITIZE)
  add_compile_options(-fsanitize=${DECIBAN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DECIBAN_SANITIZE})
endif()
