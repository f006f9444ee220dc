# Compile settings that every target of the project shares.
add_library(deciban_warnings INTERFACE)
target_include_directories(deciban_warnings INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(deciban_warnings INTERFACE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
                       $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
# g++ 12 sees overlapping copies in "text" + std::string, where there are none (GCC bug 105651).
target_compile_options(deciban_warnings INTERFACE
                       $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
if(DECIBAN_WERROR)
  target_compile_options(deciban_warnings INTERFACE -Werror)
endif()
if(DECIBAN_SANITIZE)
  add_compile_options(-fsanitize=${DECIBAN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DECIBAN_SANITIZE})
endif()
