#include "reports/token_file.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace deciban {
namespace {

static_assert(std::endian::native == std::endian::little, "the columns are read as they lie in the file");

constexpr std::string_view kMagic = "DBTOKS1\n";
constexpr std::size_t kCheckDigits = 16;  // of the payload's SHA-256
constexpr std::size_t kHeaderBytes = kMagic.size() + sizeof(std::uint64_t) + kCheckDigits;
constexpr std::uint64_t kLargestPayload = std::uint64_t{1} << 36;

std::string check_of(std::string_view payload) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(payload.data(), payload.size(), digest, &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("OpenSSL failed to compute a SHA-256");
  std::string hex;
  for (std::size_t i = 0; i < kCheckDigits / 2; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

class Payload {
 public:
  explicit Payload(std::string_view bytes) : bytes_(bytes) {}

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) throw std::runtime_error("shorter than its own counts say");
    const std::string_view result = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return result;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  template <typename T>
  void append_column(std::uint64_t count, std::vector<T>& to) {
    if (count > bytes_.size() / sizeof(T)) throw std::runtime_error("shorter than its own counts say");
    const std::string_view column = take(count * sizeof(T));
    const std::size_t before = to.size();
    to.resize(before + count);
    if (count > 0) std::memcpy(to.data() + before, column.data(), column.size());
  }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

TokenScores scores_of(Payload payload) {
  TokenScores scores;
  const auto queries = payload.number<std::uint32_t>();
  for (std::uint32_t q = 0; q < queries; ++q) {
    const auto count = payload.number<std::uint64_t>();
    payload.append_column(count, scores.tokens);
    payload.append_column(count, scores.bytes);
    payload.append_column(count, scores.logprob);
    payload.append_column(count, scores.best_logprob);
    payload.append_column(count, scores.best);
  }
  if (!payload.empty()) throw std::runtime_error("longer than its own counts say");
  return scores;
}

}  // namespace

std::vector<std::filesystem::path> token_files(const std::filesystem::path& run) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(run)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("scores.") && name.ends_with(".bin")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void read_token_file(const std::filesystem::path& path, const std::function<bool(const ScoreKey&)>& wanted,
                     const std::function<void(const ScoreKey&, TokenScores&&)>& take) {
  std::ifstream file(path, std::ios::binary);
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (!file || error) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  std::string header(kHeaderBytes, '\0'), payload;
  for (std::uint64_t offset = 0; offset < size;) {
    const auto damaged = [&](std::string_view why) {
      return std::runtime_error(fmt::format("{}: damaged at byte {}: {}", path.string(), offset, why));
    };
    if (size - offset < kHeaderBytes) return;
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    if (!file) throw damaged("cannot be read");
    if (!header.starts_with(kMagic)) throw damaged("no block of token scores begins here");
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, header.data() + kMagic.size(), sizeof bytes);
    if (bytes > kLargestPayload) throw damaged(fmt::format("a block of {} bytes is impossible", bytes));
    if (bytes > size - offset - kHeaderBytes) return;
    payload.resize(bytes);
    file.read(payload.data(), static_cast<std::streamsize>(bytes));
    if (!file) throw damaged("cannot be read");
    const bool last = offset + kHeaderBytes + bytes == size;
    try {
      Payload rest(payload);
      const ScoreKey key = score_key(rest.take(rest.number<std::uint32_t>()));
      if (wanted(key)) {
        if (check_of(payload) != header.substr(kHeaderBytes - kCheckDigits)) {
          if (last) return;  // the file grew before its bytes arrived
          throw std::runtime_error("the block's checksum is wrong");
        }
        take(key, scores_of(rest));
      }
    } catch (const std::runtime_error& what) {
      throw damaged(what.what());
    }
    offset += kHeaderBytes + bytes;
  }
}

}  // namespace deciban
