// A tokenizer's file as a whole: its name for messages, its text, and its digest.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "engine/export.h"

namespace deciban {

struct VocabularyFile {
  std::string path;  // as given, for messages
  std::string name;  // the last component
  std::string text;  // all of it
};

// Reads a file of at most 256 MiB.  Throws std::runtime_error naming the path: missing, a directory, too
// large, unreadable.
DECIBAN_API VocabularyFile read_vocabulary_file(const std::filesystem::path& path);

// SHA-256 of the text, lower-case hex.
DECIBAN_API std::string text_digest(std::string_view text);

}  // namespace deciban
