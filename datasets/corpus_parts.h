// The readers that read_corpus() chooses among, one for each kind of corpus.
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "datasets/corpus.h"
#include "datasets/input_file.h"

namespace deciban {

// A file is not of the kind tried.  `what()` says where and why, without the file's name.
struct NotThisKind : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Where a NUL byte stands in the first 8 KB, which no text has; npos if there is none.
std::size_t binary_at(std::string_view bytes);

// Sets digest and text, or an error if the text is empty.
void set_text(Document& document, std::string text);

// Documents of a JSON list of strings or row objects.  Throws NotThisKind.
std::vector<Document> read_json_list(std::string_view text);
// Whether a line is a row object with a text or tokens.
bool is_row(std::string_view line);
// Documents of JSON Lines, from the file's present position.
std::vector<Document> read_json_lines(InputFile& file);
// Documents of a folder; sets `digest` to the folder's.
std::vector<Document> read_folder(const std::filesystem::path& folder, std::string& digest);

}  // namespace deciban
