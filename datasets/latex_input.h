// The files of a LaTeX source: which of them is the paper, and what \input means.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "datasets/archive.h"

namespace deciban {

class LatexSource {
 public:
  struct File {
    std::string path, text;  // UTF-8
  };

  // Whether a member of an archive may be part of a paper's text.
  static bool is_wanted(std::string_view path);

  explicit LatexSource(ArchiveContents contents);

  const std::vector<File>& files() const { return files_; }
  // The paper's own file: the one that 00README names, else of the complete documents the one that no other
  // reads and that looks most like a paper, else (plain TeX) the longest.  None: no TeX file at all.
  std::optional<std::size_t> main() const;
  // The file that `name` means in a file of the folder `folder`, as TeX looks it up from the main file's
  // folder; ".tex" may be left out.  None if there is none.
  std::optional<std::size_t> find(std::string_view name, std::string_view folder) const;
  // The same for a style file of the paper's own.
  std::optional<std::size_t> find_style(std::string_view name) const;

 private:
  std::optional<std::size_t> named_by_readme() const;
  std::optional<std::size_t> at(const std::string& path) const;

  std::vector<File> files_;
  std::unordered_map<std::string, std::size_t> by_path_, by_lower_path_;
};

// Folder of a path without the last '/'; empty for none.
std::string_view folder_of(std::string_view path);

}  // namespace deciban
