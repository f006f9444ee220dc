# deciban_version.h: the version and the commit the tree was built from, refreshed when HEAD moves.
set(version_dir ${CMAKE_BINARY_DIR}/generated)
add_custom_target(deciban_version
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${version_dir}/deciban_version.h
          -DVERSION=${PROJECT_VERSION} -P ${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${version_dir}/deciban_version.h VERBATIM)
add_library(deciban_version_header INTERFACE)
target_include_directories(deciban_version_header INTERFACE ${version_dir})
add_dependencies(deciban_version_header deciban_version)
