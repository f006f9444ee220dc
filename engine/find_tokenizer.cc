#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "engine/tokenizer.h"

namespace deciban {

namespace {

namespace fs = std::filesystem;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr std::size_t kWorldRows = 65536;

fs::path environment_path(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? fs::path(value) : fs::path();
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

fs::path data_folder() {
  const fs::path home = environment_path("HOME"), data = environment_path("XDG_DATA_HOME");
  if (!data.empty()) return data / "deciban";
  return home.empty() ? fs::path() : home / ".local/share/deciban";
}

// lib/python3*/site-packages (and Debian's dist-packages) under an installation's root.
std::vector<fs::path> package_folders(const fs::path& root) {
  std::vector<fs::path> folders;
  if (root.empty()) return folders;
  std::error_code error;
  for (fs::directory_iterator entry(root / "lib", error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->path().filename().string().starts_with("python3")) continue;
    folders.push_back(entry->path() / "site-packages");
    folders.push_back(entry->path() / "dist-packages");
  }
  std::sort(folders.rbegin(), folders.rend());
  return folders;
}

// Where pip puts the `rwkv` package, found without running Python.
std::vector<fs::path> rwkv_packages() {
  std::vector<fs::path> roots{environment_path("VIRTUAL_ENV"), environment_path("CONDA_PREFIX")};
  const fs::path home = environment_path("HOME");
  if (!home.empty()) roots.push_back(home / ".local");
  roots.insert(roots.end(), {"/usr/local", "/usr"});
  std::error_code error;
  if (!home.empty()) {
    for (fs::directory_iterator entry(home / ".pyenv/versions", error), end; !error && entry != end;
         entry.increment(error)) {
      roots.push_back(entry->path());
    }
  }
  std::vector<fs::path> packages;
  for (const fs::path& root : roots) {
    for (const fs::path& folder : package_folders(root)) packages.push_back(folder / "rwkv");
  }
  return packages;
}

// Opened tokenizers that did not fit, for the message.
struct Misfits {
  std::string text;
  void add(const std::string& where, const Tokenizer& tokenizer) {
    text += fmt::format("{}{} has {} tokens", text.empty() ? "" : ", ", where, tokenizer.size());
  }
};

std::unique_ptr<Tokenizer> if_it_fits(std::unique_ptr<Tokenizer> tokenizer, const std::string& where,
                                      std::size_t rows, Misfits& misfits) {
  if (tokenizer->fits(rows)) return tokenizer;
  misfits.add(where, *tokenizer);
  return nullptr;
}

std::unique_ptr<Tokenizer> require_fit(std::unique_ptr<Tokenizer> tokenizer, const fs::path& model,
                                       std::size_t rows) {
  if (!tokenizer->fits(rows)) {
    throw std::runtime_error(
        fmt::format("{}: the model has {} embedding rows, but the tokenizer '{}' has {} tokens: they do not "
                    "belong together",
                    model.string(), rows, tokenizer->name(), tokenizer->size()));
  }
  return tokenizer;
}

[[noreturn]] void fail(const fs::path& model, std::size_t rows, const fs::path& beside,
                       const Misfits& misfits) {
  std::string message =
      fmt::format("{}: no tokenizer was found for its {} embedding rows", model.string(), rows);
  if (!misfits.text.empty()) message += fmt::format(" ({}, which does not fit)", misfits.text);
  const std::string folder = beside.empty() ? "." : beside.string();
  if (rows == kWorldRows) {
    message += fmt::format(
        "; it seems to be a World model: looked for {} beside it in {}, in {}, and in installed `rwkv` "
        "Python "
        "packages; get it by `deciban fetch`, or name it by --tokenizer FILE",
        kWorldFile, folder, data_folder().string());
  } else if (rows == 50277 || rows == 50304) {
    message += fmt::format(
        "; it seems to be a Pile model: put its 20B_tokenizer.json (GPT-NeoX's tokenizer.json) into {}, or "
        "name it by "
        "--tokenizer FILE",
        folder);
  } else {
    message += fmt::format("; put its tokenizer.json into {}, or name it by --tokenizer FILE", folder);
  }
  throw std::runtime_error(message);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& spec) {
  if (spec == "bytes") return byte_tokenizer();
  const fs::path path = spec;
  return path.extension() == ".json" ? bpe_tokenizer(path) : world_tokenizer(path);
}

std::unique_ptr<Tokenizer> find_tokenizer(const fs::path& model, std::size_t rows, const std::string& spec,
                                          const std::vector<std::string>& embedded) {
  if (!spec.empty() && spec != "auto") return require_fit(open_tokenizer(spec), model, rows);
  if (rows <= 257) return require_fit(byte_tokenizer(), model, rows);

  Misfits misfits;
  if (!embedded.empty()) {
    if (auto found = if_it_fits(world_tokenizer_from_tokens(embedded), "the vocabulary inside the file", rows,
                                misfits)) {
      return found;
    }
  }
  std::error_code error;
  const fs::path beside = fs::is_directory(model, error) ? model : model.parent_path();
  std::vector<fs::path> candidates;
  for (const char* name : {"tokenizer.json", "20B_tokenizer.json", kWorldFile})
    candidates.push_back(beside / name);
  if (rows == kWorldRows) {
    if (const fs::path data = data_folder(); !data.empty()) candidates.push_back(data / kWorldFile);
    for (const fs::path& package : rwkv_packages()) candidates.push_back(package / kWorldFile);
  }
  for (const fs::path& candidate : candidates) {
    if (!is_file(candidate)) continue;
    if (auto found = if_it_fits(open_tokenizer(candidate.string()), candidate.string(), rows, misfits))
      return found;
  }
  fail(model, rows, beside, misfits);
}

}  // namespace deciban
