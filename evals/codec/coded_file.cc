#include "evals/codec/coded_file.h"

#include <fmt/format.h>

#include <stdexcept>

#include "datasets/sha256.h"

namespace deciban {
namespace {

constexpr std::string_view kMagic("DECIBAN\1", 8);
constexpr std::size_t kCheckBytes = 8, kPrefix = 8 + 4 + kCheckBytes;

[[noreturn]] void damaged(std::string_view what) {
  throw std::runtime_error(fmt::format("the compressed file is damaged: {}", what));
}

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  return bytes;
}
std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) damaged("its header ends early");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (!(byte & 0x80)) return value;
    }
    damaged("a number in its header is too large");
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > bytes_.size() - at_) damaged("a text in its header ends early");
    at_ += size;
    return std::string(bytes_.substr(at_ - size, size));
  }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

void require(const std::string& what, const std::string& made, const std::string& now,
             const std::string& remedy) {
  if (made == now) return;
  throw std::runtime_error(fmt::format("the file was compressed with {} {}, and this is {}: {}", what,
                                       made.empty() ? "(none)" : made, now.empty() ? "(none)" : now, remedy));
}

// Kernels of cards are named by their architecture, "sm_90 deterministic".
std::string remedy_of(const std::string& made, const std::string& now) {
  constexpr std::string_view kCard = "sm_";
  const std::string why =
      "probabilities differ in their last bits from one kind of processor or card to another; ";
  if (made.starts_with(kCard)) {
    return why +
           fmt::format("decompress it with --device cuda on a card of {}", made.substr(0, made.find(' ')));
  }
  if (now.starts_with(kCard)) return why + "add --device cpu";
  return why + "set DECIBAN_ISA to the file's, on a machine that has it";
}

}  // namespace

void CodedFile::describe(const ModelInfo& info) {
  numerics_version = info.numerics_version;
  model = info.name;
  model_digest = info.digest;
  tokenizer_digest = info.tokenizer_digest;
  mode = info.format;
  kernels = info.kernels;
}

void CodedFile::check(const ModelInfo& info) const {
  if (model_digest != info.digest) {
    throw std::runtime_error(fmt::format(
        "the file was compressed with the model {} (SHA-256 {}…), and {} has {}…: give that model "
        "with -m",
        model, model_digest.substr(0, 12), info.name, info.digest.substr(0, 12)));
  }
  require("the tokenizer", tokenizer_digest.substr(0, 12), info.tokenizer_digest.substr(0, 12),
          "give the same vocabulary with --tokenizer");
  require("mode", mode, info.format, fmt::format("add --mode {}", mode));
  require("the kernels", kernels, info.kernels, remedy_of(kernels, info.kernels));
  if (numerics_version != info.numerics_version) {
    throw std::runtime_error(fmt::format(
        "the file was compressed with numerics version {} of the engine, and this is {}: decompress "
        "it with the version of deciban that made it",
        numerics_version, info.numerics_version));
  }
}

std::string to_bytes(const CodedFile& file) {
  std::string header;
  put_number(header, static_cast<std::uint64_t>(file.numerics_version));
  put_text(header, file.model);
  put_text(header, from_hex(file.model_digest));
  put_text(header, from_hex(file.tokenizer_digest));
  put_text(header, file.mode);
  put_text(header, file.kernels);
  put_number(header, file.start ? static_cast<std::uint64_t>(*file.start) + 1 : 0);
  put_number(header, file.streams);
  put_number(header, file.size);
  put_text(header, from_hex(file.sha256));
  put_number(header, file.segments.size());
  for (const CodedSegment& segment : file.segments) {
    put_number(header, segment.bytes);
    put_number(header, segment.tokens);
    put_number(header, segment.code.size());
  }
  std::string bytes(kMagic);
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(header.size() >> (8 * i));
  bytes += from_hex(Sha256::of(header)).substr(0, kCheckBytes);
  bytes += header;
  for (const CodedSegment& segment : file.segments) bytes += segment.code;
  return bytes;
}

CodedFile parse_coded_file(std::string_view bytes) {
  if (bytes.substr(0, kMagic.size()) != kMagic)
    throw std::runtime_error("this is no file that deciban compressed (it begins with something else)");
  if (bytes.size() < kPrefix) damaged("it ends within its header");
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i)
    size |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[kMagic.size() + i])) << (8 * i);
  if (size > bytes.size() - kPrefix) damaged("it ends within its header");
  const std::string_view header = bytes.substr(kPrefix, size);
  if (from_hex(Sha256::of(header)).substr(0, kCheckBytes) != bytes.substr(kMagic.size() + 4, kCheckBytes))
    damaged("its header does not have the checksum that it says");

  Reader in(header);
  CodedFile file;
  file.numerics_version = static_cast<int>(in.number());
  file.model = in.text();
  file.model_digest = to_hex(in.text());
  file.tokenizer_digest = to_hex(in.text());
  file.mode = in.text();
  file.kernels = in.text();
  if (const std::uint64_t start = in.number(); start > 0) file.start = static_cast<Token>(start - 1);
  file.streams = in.number();
  file.size = in.number();
  file.sha256 = to_hex(in.text());
  const std::uint64_t count = in.number();
  if (count > in.left()) damaged("it names more segments than its header has room for");
  std::string_view rest = bytes.substr(kPrefix + size);
  std::uint64_t content = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    CodedSegment segment{in.number(), in.number(), {}};
    const std::uint64_t code = in.number();
    if (code > rest.size()) damaged(fmt::format("it ends within segment {} of {}", i + 1, count));
    // Every token stands for a byte at least.
    if (segment.tokens > segment.bytes || (segment.tokens == 0 && code != segment.bytes) ||
        segment.bytes > file.size - content) {
      damaged(
          fmt::format("segment {} cannot have {} tokens and {} bytes", i + 1, segment.tokens, segment.bytes));
    }
    content += segment.bytes;
    segment.code = rest.substr(0, code);
    rest.remove_prefix(code);
    file.segments.push_back(std::move(segment));
  }
  if (content != file.size) damaged("its segments are not as long as its content");
  if (in.left() != 0) damaged("its header goes on behind its end");
  if (!rest.empty()) damaged(fmt::format("{} bytes follow behind its end", rest.size()));
  return file;
}

}  // namespace deciban
