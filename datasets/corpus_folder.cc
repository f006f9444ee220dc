#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "datasets/corpus_parts.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Paths relative to the folder, in byte order.  Links to folders are not followed, so that no loop can hang
// us.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error), end;
  while (!error && entry != end) {
    const fs::path path = entry->path();
    if (hidden(path)) {
      entry.disable_recursion_pending();
    } else {
      std::error_code not_there;  // a dangling link is not a file
      if (fs::is_regular_file(path, not_there))
        names.push_back(path.lexically_relative(folder).generic_string());
    }
    entry.increment(error);
  }
  if (error) {
    throw std::runtime_error(fmt::format("cannot list the folder {}: {}", folder.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The line that `sha256sum` prints, with its escapes for odd names.
std::string digest_line(const std::string& digest, const std::string& name) {
  std::string escaped;
  for (const char c : name) {
    if (c == '\\')
      escaped += "\\\\";
    else if (c == '\n')
      escaped += "\\n";
    else if (c == '\r')
      escaped += "\\r";
    else
      escaped += c;
  }
  return fmt::format("{}{}  {}\n", escaped == name ? "" : "\\", digest, escaped);
}

}  // namespace

std::vector<Document> read_folder(const fs::path& folder, std::string& digest) {
  Sha256 all;
  std::vector<Document> documents;
  for (const std::string& name : file_names(folder)) {
    Document document;
    document.id = name;
    document.fields = nlohmann::json::object();
    try {
      InputFile file(folder / name);
      std::string text = file.take_rest();
      document.digest = file.digest();
      if (const std::size_t place = binary_at(text); place != std::string::npos) {
        document.error = fmt::format("no text: it has a NUL byte at offset {}", place);
      } else {
        set_text(document, std::move(text));
      }
    } catch (const std::runtime_error& error) {
      document.error = error.what();
      document.digest = Sha256::of(name);
    }
    all.update(digest_line(document.digest, name));
    documents.push_back(std::move(document));
  }
  digest = all.hex();
  return documents;
}

}  // namespace deciban
