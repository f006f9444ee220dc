#include "evals/token_scores.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "datasets/sha256.h"

namespace deciban {
namespace {

static_assert(std::endian::native == std::endian::little, "the columns are written as they lie in memory");

constexpr std::string_view kTokenFileMagic = "DBTOKS1\n";
constexpr std::size_t kChecksumBytes = 16;  // hex digits of the payload's SHA-256
constexpr std::size_t kHeaderBytes = kTokenFileMagic.size() + sizeof(std::uint64_t) + kChecksumBytes;
constexpr std::uint64_t kLargestPayload = std::uint64_t{1} << 36;

template <typename T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void put_column(std::string& out, const std::vector<T>& column, std::size_t n) {
  if (column.size() != n) throw std::logic_error("token scores: columns of different lengths");
  out.append(reinterpret_cast<const char*>(column.data()), n * sizeof(T));
}

std::string payload_of(const DocumentTokens& document) {
  std::string out;
  put(out, static_cast<std::uint32_t>(document.key.size()));
  out += document.key;
  put(out, static_cast<std::uint32_t>(document.queries.size()));
  for (const TokenColumns& query : document.queries) {
    const std::size_t n = query.tokens.size();
    put(out, static_cast<std::uint64_t>(n));
    put_column(out, query.tokens, n);
    put_column(out, query.bytes, n);
    put_column(out, query.logprob, n);
    put_column(out, query.best_logprob, n);
    put_column(out, query.best, n);
  }
  return out;
}

// Takes values off the front of a payload; throws when it is too short.
class Payload {
 public:
  explicit Payload(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, chunk(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view chunk(std::uint64_t n) {
    if (n > bytes_.size()) throw std::runtime_error("shorter than its own counts say");
    const std::string_view result = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return result;
  }
  template <typename T>
  std::vector<T> column(std::uint64_t n) {
    if (n > bytes_.size() / sizeof(T)) throw std::runtime_error("shorter than its own counts say");
    std::vector<T> result(n);
    const std::string_view bytes = chunk(n * sizeof(T));
    if (n > 0) std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

DocumentTokens document_of(std::string_view bytes) {
  Payload payload(bytes);
  DocumentTokens document;
  document.key = payload.chunk(payload.take<std::uint32_t>());
  const auto queries = payload.take<std::uint32_t>();
  for (std::uint32_t q = 0; q < queries; ++q) {
    const auto n = payload.take<std::uint64_t>();
    TokenColumns columns;
    columns.tokens = payload.column<Token>(n);
    columns.bytes = payload.column<std::uint32_t>(n);
    columns.logprob = payload.column<float>(n);
    columns.best_logprob = payload.column<float>(n);
    columns.best = payload.column<Token>(n);
    document.queries.push_back(std::move(columns));
  }
  if (!payload.empty()) throw std::runtime_error("longer than its own counts say");
  return document;
}

}  // namespace

TokenScoreWriter::TokenScoreWriter(const std::filesystem::path& path) : path_(path) {
  if (std::filesystem::exists(path)) {
    TokenScoreReader reader(path);
    while (const auto document = reader.next()) keys_.insert(document->key);
    size_ = reader.valid_bytes();
  }
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0 || ::ftruncate(file_, static_cast<off_t>(size_)) != 0) {
    const int error = errno;
    if (file_ >= 0) ::close(file_);
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(error)));
  }
}

TokenScoreWriter::~TokenScoreWriter() { ::close(file_); }

void TokenScoreWriter::append(const DocumentTokens& document) {
  const std::string payload = payload_of(document);
  std::string block(kTokenFileMagic);
  put(block, static_cast<std::uint64_t>(payload.size()));
  block += Sha256::of(payload).substr(0, kChecksumBytes);
  block += payload;
  std::size_t written = 0;
  while (written < block.size()) {
    const ssize_t n =
        ::pwrite(file_, block.data() + written, block.size() - written, static_cast<off_t>(size_ + written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = errno;
      // Leaves no half block behind where the disk was full.
      if (::ftruncate(file_, static_cast<off_t>(size_)) != 0) errno = error;
      throw std::runtime_error(
          fmt::format("{}: cannot be written: {}", path_.string(), std::strerror(error)));
    }
    written += static_cast<std::size_t>(n);
  }
  size_ += block.size();
  keys_.insert(document.key);
}

struct TokenScoreReader::File {
  std::ifstream stream;
};

TokenScoreReader::TokenScoreReader(const std::filesystem::path& path)
    : path_(path), file_(std::make_unique<File>()) {
  file_->stream.open(path, std::ios::binary);
  std::error_code error;
  size_ = std::filesystem::file_size(path, error);
  if (!file_->stream || error) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
}

TokenScoreReader::~TokenScoreReader() = default;

std::optional<DocumentTokens> TokenScoreReader::next() {
  const auto damaged = [&](std::string_view why) {
    return std::runtime_error(fmt::format("{}: damaged at byte {}: {}", path_.string(), offset_, why));
  };
  const std::uint64_t left = size_ - offset_;
  if (left == 0 || torn_) return std::nullopt;
  std::string header(std::min<std::uint64_t>(left, kHeaderBytes), '\0');
  file_->stream.read(header.data(), static_cast<std::streamsize>(header.size()));
  if (!file_->stream) throw damaged("cannot be read");
  const std::size_t shown = std::min(header.size(), kTokenFileMagic.size());
  if (header.compare(0, shown, kTokenFileMagic.substr(0, shown)) != 0)
    throw damaged("no block of token scores begins here");
  std::uint64_t bytes = 0;
  if (left >= kHeaderBytes) std::memcpy(&bytes, header.data() + kTokenFileMagic.size(), sizeof bytes);
  if (left < kHeaderBytes || (bytes > left - kHeaderBytes && bytes <= kLargestPayload)) {
    torn_ = true;
    return std::nullopt;
  }
  if (bytes > kLargestPayload) throw damaged(fmt::format("a block of {} bytes is impossible", bytes));
  std::string payload(bytes, '\0');
  file_->stream.read(payload.data(), static_cast<std::streamsize>(bytes));
  if (!file_->stream) throw damaged("cannot be read");
  if (Sha256::of(payload).substr(0, kChecksumBytes) != header.substr(kHeaderBytes - kChecksumBytes)) {
    // The last block of a file that grew before its bytes arrived (a crash of the machine) is torn, not
    // damaged.
    if (offset_ + kHeaderBytes + bytes == size_) {
      torn_ = true;
      return std::nullopt;
    }
    throw damaged("the block's checksum is wrong");
  }
  try {
    DocumentTokens document = document_of(payload);
    offset_ += kHeaderBytes + bytes;
    return document;
  } catch (const std::runtime_error& error) {
    throw damaged(error.what());
  }
}

bool TokenScoreReader::recognises(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string begin(kTokenFileMagic.size(), '\0');
  return file.read(begin.data(), static_cast<std::streamsize>(begin.size())) && begin == kTokenFileMagic;
}

}  // namespace deciban
