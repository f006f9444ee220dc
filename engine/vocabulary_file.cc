#include "engine/vocabulary_file.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <fstream>
#include <stdexcept>

namespace deciban {

namespace {
// The largest tokenizer.json in use (262,144 tokens, merges as pairs) has 34 MB.
constexpr std::uintmax_t kMaximumBytes = 256u << 20;
}  // namespace

VocabularyFile read_vocabulary_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw std::runtime_error(fmt::format("{}: there is no such tokenizer file", path.string()));
  }
  if (std::filesystem::is_directory(status)) {
    throw std::runtime_error(fmt::format("{}: is a folder, not a tokenizer file", path.string()));
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaximumBytes) {
    throw std::runtime_error(fmt::format("{}: has {} bytes; a tokenizer file may have at most {}",
                                         path.string(), size, kMaximumBytes));
  }
  std::ifstream in(path, std::ios::binary);
  VocabularyFile file{path.string(), path.filename().string(), {}};
  // Piecewise, so that a pipe or a growing file can't exceed the limit either.
  char piece[1 << 16];
  while (in.read(piece, sizeof piece), in.gcount() > 0) {
    file.text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (file.text.size() > kMaximumBytes) {
      throw std::runtime_error(
          fmt::format("{}: a tokenizer file may have at most {} bytes", path.string(), kMaximumBytes));
    }
  }
  if (!in.eof()) throw std::runtime_error(fmt::format("{}: can't be read", path.string()));
  return file;
}

std::string text_digest(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL can't compute SHA-256");
  }
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace deciban
