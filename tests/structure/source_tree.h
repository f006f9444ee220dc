// The project's own text files, read into lines, for the checks of its structure.  Build folders, run
// folders, version control and data (golden files, the demo's texts and weights) are left out.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "tests/shared_data.h"

namespace deciban {

struct SourceFile {
  std::string path;  // from the project's root, with '/'
  std::vector<std::string> lines;
  std::string at(std::size_t line) const { return path + ":" + std::to_string(line + 1); }
};

inline bool skipped_folder(const std::string& path) {
  const std::string_view top = std::string_view(path).substr(0, path.find('/'));
  return top == ".git" || top == ".cache" || top.starts_with("build") || top == "demo-run" || top == "runs" ||
         path == "tests/golden" || path == "tests/fuzz/corpus" || path.starts_with("datasets/demo/") ||
         path.ends_with("__pycache__");
}

inline SourceFile read_source(const std::filesystem::path& file, std::string path) {
  SourceFile source{std::move(path), {}};
  std::ifstream in(file, std::ios::binary);
  for (std::string line; std::getline(in, line);) source.lines.push_back(line);
  return source;
}

// Files whose name ends in one of `endings` (a whole name matches too), sorted by path.
inline std::vector<SourceFile> source_files(std::initializer_list<std::string_view> endings) {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  const fs::path root = source_dir();
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    const std::string path = it->path().lexically_relative(root).generic_string();
    if (it->is_symlink()) continue;
    if (it->is_directory()) {
      if (skipped_folder(path)) it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file()) continue;
    if (std::any_of(endings.begin(), endings.end(), [&](auto ending) { return path.ends_with(ending); })) {
      files.push_back(read_source(it->path(), path));
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace deciban
