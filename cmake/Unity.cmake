# deciban_unity(<target>…): with DECIBAN_UNITY, compiles the target's sources in batches, which takes half the time.
#
# For builds that are made once and whole, such as CI's; whoever edits is better off without.  Files of one folder then
# share their unnamed namespaces: two helpers of one name are an error, and mostly one helper too many.
option(DECIBAN_UNITY "Compile sources in batches" OFF)
function(deciban_unity)
  if(DECIBAN_UNITY)
    set_target_properties(${ARGN} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    foreach(target ${ARGN})  # the warning is meant for headers: a batch includes sources
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    endforeach()
  endif()
endfunction()
