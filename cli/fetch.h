// deciban fetch: the only command that uses the network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.h"

namespace deciban {

// As typed; empty and nothing where nothing was.
struct FetchOptions {
  std::string source, output;
  std::vector<std::string> categories;
  std::vector<std::string> from_words;  // a date; for arXiv also a form of text, which goes to `text`
  std::string from, to;
  std::optional<std::size_t> count, min_characters;
  std::optional<std::uint64_t> seed;
  std::string licence, text, math;
  bool cross_lists = false;
  std::string contact;
  std::string manifest;
  bool publish = false;
  bool examples = false;
  std::string tasks_dir;
  std::string config, split, file, revision, digest, column;
  std::vector<std::string> servers;
  std::optional<double> interval;
};

// Downloads what `source` names (datasets/sources.h), or what a manifest lists.  Throws std::invalid_argument
// for words that make no sense and std::runtime_error for what the network and the disk do.
int fetch(const FetchOptions& options, const Console& console);

}  // namespace deciban
