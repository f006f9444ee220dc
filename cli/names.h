// Short names for models and corpora that are unique within a run.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace deciban {

// For each path the stem of its file name; of files that are called "model" and the like, the folder's name.
// Where two are the same, folders are put before them until they differ; equal paths get "#2", "#3".
std::vector<std::string> short_names(std::span<const std::string> paths);

}  // namespace deciban
