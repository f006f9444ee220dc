#include "datasets/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "datasets/corpus_parts.h"
#include "datasets/input_file.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlank = " \t\r\n";

// Endings that promise JSON: then anything else is an error, not a text.
bool promises_json(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return ending == ".json" || ending == ".jsonl" || ending == ".ndjson";
}

// The first byte that is neither byte-order mark nor blank; 0 if there is none.
char first_byte(InputFile& file, std::size_t& mark) {
  for (;;) {
    const std::string_view start = file.peek();
    mark = start.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    const std::size_t place = start.find_first_not_of(kBlank, mark);
    if (place != std::string_view::npos && start.size() > kByteOrderMark.size()) return start[place];
    if (!file.read_more()) return place == std::string_view::npos ? '\0' : file.peek()[place];
  }
}

// Whether the first line that is not blank is a row of JSON Lines.
bool starts_with_row(InputFile& file, std::size_t mark) {
  for (;;) {
    const std::string_view start = file.peek();
    const std::size_t place = start.find_first_not_of(kBlank, mark);
    const std::size_t end = start.find('\n', place);
    if (end != std::string_view::npos) return is_row(start.substr(place, end - place));
    if (!file.read_more()) return is_row(file.peek().substr(place));
  }
}

void read_text(InputFile& file, std::string text, Corpus& corpus) {
  Document document;
  document.id = fs::path(corpus.path).filename().string();
  document.fields = nlohmann::json::object();
  if (const std::size_t place = binary_at(text); place != std::string_view::npos) {
    throw std::runtime_error(fmt::format(
        "{} is no text: it has a NUL byte at offset {}; unpack it first, or convert UTF-16 to UTF-8",
        corpus.path, place));
  }
  set_text(document, std::move(text));
  corpus.kind = "text";
  corpus.documents.push_back(std::move(document));
}

void read_file(const fs::path& path, Corpus& corpus) {
  InputFile file(path);
  std::size_t mark = 0;
  const char first = first_byte(file, mark);
  const bool json = promises_json(path);
  if (file.peek().empty()) throw std::runtime_error(fmt::format("{} is empty", corpus.path));
  if (first == '[') {
    std::string text = file.take_rest();
    try {
      corpus.documents = read_json_list(std::string_view(text).substr(mark));
      corpus.kind = "json-list";
    } catch (const NotThisKind& error) {
      if (json) throw std::runtime_error(fmt::format("{}: {}", corpus.path, error.what()));
      read_text(file, std::move(text), corpus);
    }
  } else if (first == '{' && (json || starts_with_row(file, mark))) {
    file.skip(mark);
    corpus.documents = read_json_lines(file);
    corpus.kind = "jsonl";
  } else if (json && first != '\0') {
    throw std::runtime_error(fmt::format(
        "{}: neither a JSON list ('[') nor JSON Lines ('{{'): it starts with {}", corpus.path,
        first > ' ' && first < 0x7f ? fmt::format("'{}'", first)
                                    : fmt::format("byte 0x{:02x}", static_cast<unsigned char>(first))));
  } else if (json) {
    corpus.kind = "jsonl";
  } else {
    read_text(file, file.take_rest(), corpus);
  }
  corpus.digest = file.digest();
}

// Ids are UTF-8 everywhere in records and reports; bytes that are not are written %XX (file names may hold
// anything).
std::string valid_utf8(const std::string& id) {
  std::string result;
  for (std::size_t i = 0; i < id.size();) {
    const unsigned char lead = static_cast<unsigned char>(id[i]);
    const std::size_t size = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
    bool good = size > 0 && i + size <= id.size();
    for (std::size_t k = 1; good && k < size; ++k)
      good = (static_cast<unsigned char>(id[i + k]) & 0xc0) == 0x80;
    if (good && size > 2) {
      const unsigned second = static_cast<unsigned char>(id[i + 1]);
      if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
          (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
        good = false;
      }
    }
    if (good) {
      result.append(id, i, size);
      i += size;
    } else {
      result += fmt::format("%{:02X}", lead);
      ++i;
    }
  }
  return result;
}

// Missing ids become running numbers; the second document of one id becomes "id#2", and so on.
void make_ids_unique(std::vector<Document>& documents) {
  std::unordered_set<std::string> taken;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    std::string& id = documents[i].id;
    id = id.empty() ? fmt::format("{}", i) : valid_utf8(id);
    taken.insert(id);
  }
  std::unordered_set<std::string> seen;
  std::unordered_map<std::string, std::size_t> count;
  for (Document& document : documents) {
    if (seen.insert(document.id).second) continue;
    std::size_t& number = count.try_emplace(document.id, 1).first->second;
    std::string id;
    do {
      id = fmt::format("{}#{}", document.id, ++number);
    } while (!taken.insert(id).second);
    document.id = std::move(id);
  }
}

std::string corpus_name(const fs::path& path, bool folder) {
  if (!folder) return valid_utf8(path.stem().string());
  // "texts/", "." and ".." are named after the folder that they mean.
  fs::path full = fs::weakly_canonical(path);
  return full.has_filename() ? valid_utf8(full.filename().string()) : "root";
}

}  // namespace

std::uint64_t Corpus::bytes() const {
  std::uint64_t sum = 0;
  for (const Document& document : documents) sum += document.text.size();
  return sum;
}

std::size_t binary_at(std::string_view bytes) { return bytes.substr(0, 8192).find('\0'); }

void set_text(Document& document, std::string text) {
  document.digest = Sha256::of(text);
  if (text.empty()) {
    document.error = "the text is empty";
  } else {
    document.text = std::move(text);
  }
}

Corpus read_corpus(const fs::path& path) {
  Corpus corpus;
  corpus.path = path.string();
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw std::runtime_error(fmt::format("cannot read the corpus {}: {}", corpus.path,
                                         error ? error.message() : "No such file or directory"));
  }
  const bool folder = fs::is_directory(status);
  corpus.name = corpus_name(path, folder);
  if (folder) {
    corpus.kind = "folder";
    corpus.documents = read_folder(path, corpus.digest);
  } else {
    read_file(path, corpus);
  }
  if (corpus.documents.empty()) {
    throw std::runtime_error(fmt::format("the corpus {} holds no documents", corpus.path));
  }
  make_ids_unique(corpus.documents);
  const auto good = [](const Document& document) { return document.error.empty(); };
  if (std::none_of(corpus.documents.begin(), corpus.documents.end(), good)) {
    const Document& first = corpus.documents.front();
    throw std::runtime_error(fmt::format("no document of the corpus {} can be read; the first, {}: {}",
                                         corpus.path, first.id, first.error));
  }
  return corpus;
}

}  // namespace deciban
