// The files of reports/published as they are built into the program (cmake/EmbedPublished.cmake writes the
// .cc).
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace deciban {

// Name (the file's stem) and JSON text of each, by name.
std::span<const std::pair<std::string_view, std::string_view>> published_files();

}  // namespace deciban
