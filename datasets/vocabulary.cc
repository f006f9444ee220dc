#include "datasets/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "datasets/sha256.h"

namespace deciban {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = 16u << 20;  // it has 1.1 MB

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string without_carriage_returns(const std::string& text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  }
  return plain;
}

// Leaves the published vocabulary with LF line ends in the file, or throws.
void check_vocabulary(const std::string& url, const fs::path& file) {
  const std::string text = read_all(file);
  const std::string digest = Sha256::of(text);
  if (digest == kWorldVocabularyDigest) return;
  const std::string plain = without_carriage_returns(text);
  if (Sha256::of(plain) != kWorldVocabularyDigest) {
    throw std::runtime_error(
        fmt::format("{}: what came is not the World vocabulary: {} bytes with SHA-256 {}, where {} is "
                    "expected; nothing was "
                    "installed",
                    url, text.size(), digest, kWorldVocabularyDigest));
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << plain;
  out.close();
  if (!out) throw std::runtime_error(fmt::format("{}: can't be written", file.string()));
}

}  // namespace

fs::path world_vocabulary_target() {
  const auto environment = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  fs::path data = environment("XDG_DATA_HOME");
  if (data.empty()) {
    if (environment("HOME").empty()) {
      throw std::runtime_error(
          "neither XDG_DATA_HOME nor HOME is set, so there is no place for the World vocabulary");
    }
    data = environment("HOME") / ".local/share";
  }
  return data / "deciban" / kWorldVocabularyFile;
}

Fetched fetch_world_vocabulary(const std::string& base_url, const fs::path& target, DownloadOptions options) {
  std::error_code error;
  if (fs::is_regular_file(target, error) && fs::file_size(target, error) <= kMostBytes &&
      Sha256::of(read_all(target)) == kWorldVocabularyDigest) {
    return Fetched::already_there;
  }
  const std::string url = base_url + (base_url.ends_with('/') ? "" : "/") + kWorldVocabularyFile;
  options.max_bytes = std::min(options.max_bytes, kMostBytes);
  options.check = [&](const fs::path& file) { check_vocabulary(url, file); };
  download(url, target, options);
  return Fetched::downloaded;
}

}  // namespace deciban
