# Writes OUTPUT: the JSON files of FOLDER as raw string literals, for reports/published_files.h.
file(GLOB files ${FOLDER}/*.json)
list(SORT files)
set(entries "")
foreach(file ${files})
  get_filename_component(name ${file} NAME_WLE)
  file(READ ${file} content)
  if(content MATCHES "\\)json\"")
    message(FATAL_ERROR "${file} holds )json\", which ends its literal")
  endif()
  string(APPEND entries "    {\"${name}\", R\"json(${content})json\"},\n")
endforeach()
file(WRITE ${OUTPUT}.new "// Made by cmake/EmbedPublished.cmake.
#include \"reports/published_files.h\"

namespace deciban {

std::span<const std::pair<std::string_view, std::string_view>> published_files() {
  static constexpr std::pair<std::string_view, std::string_view> kFiles[] = {
${entries}  };
  return kFiles;
}

}  // namespace deciban
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
