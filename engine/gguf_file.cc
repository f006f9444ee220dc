#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "engine/readers.h"

namespace deciban {
namespace {

constexpr std::uint32_t kMaxRank = 4;
constexpr std::size_t kMaxKey = 65535, kDeepestArray = 4;
constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 24;
constexpr std::string_view kTokens = "tokenizer.ggml.tokens";

enum ValueType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

std::optional<Encoding> encoding_of(std::uint32_t type) {
  switch (type) {
    case 0:
      return Encoding::f32;
    case 1:
      return Encoding::f16;
    case 2:
      return Encoding::q4_0;
    case 3:
      return Encoding::q4_1;
    case 6:
      return Encoding::q5_0;
    case 7:
      return Encoding::q5_1;
    case 8:
      return Encoding::q8_0;
    case 12:
      return Encoding::q4_k;
    case 14:
      return Encoding::q6_k;
    case 30:
      return Encoding::bf16;
    default:
      return std::nullopt;
  }
}

// The types in use that are not read, for the message.
std::string_view foreign_type(std::uint32_t type) {
  switch (type) {
    case 9:
      return "Q8_1";
    case 10:
      return "Q2_K";
    case 11:
      return "Q3_K";
    case 13:
      return "Q5_K";
    default:
      return "unknown";
  }
}

class GgufFile {
 public:
  explicit GgufFile(const FileBytes& file) : file_(file), cursor_(file) {}

  Checkpoint checkpoint() {
    result_.format = "gguf";
    result_.files = {file_.path};
    cursor_.take(4, "magic");
    const auto version = cursor_.get<std::uint32_t>("version");
    if (version == 0x02000000 || version == 0x03000000) file_.fail("big-endian GGUF files are not read");
    if (version != 2 && version != 3)
      file_.fail(fmt::format("GGUF version {}: only 2 and 3 are read", version));
    const auto tensors = cursor_.get<std::uint64_t>("number of tensors");
    const auto pairs = cursor_.get<std::uint64_t>("number of metadata");
    // The smallest pair and the smallest tensor take 13 and 24 bytes.
    if (pairs > cursor_.left() / 13 || tensors > cursor_.left() / 24) {
      file_.fail(fmt::format("{} metadata and {} tensors do not fit a file of {} bytes", pairs, tensors,
                             file_.bytes.size()));
    }
    if (pairs > kMostEntries || tensors > kMostEntries) {
      file_.fail(
          fmt::format("{} metadata and {} tensors: more than {} are not read", pairs, tensors, kMostEntries));
    }
    for (std::uint64_t i = 0; i < pairs; ++i) read_pair();
    if (const auto split = result_.metadata.find("split.count");
        split != result_.metadata.end() && split->second != "1" && split->second != "0") {
      file_.fail(fmt::format("is one of {} parts of a model: join them first (llama-gguf-split --merge)",
                             split->second));
    }
    for (std::uint64_t i = 0; i < tensors; ++i) read_description();
    place_tensors();
    refuse_equal_names(file_, result_.tensors);
    return std::move(result_);
  }

 private:
  struct Description {
    std::string name;
    Encoding encoding;
    std::vector<std::size_t> shape;
    std::size_t offset, bytes;
  };

  std::string_view string(std::string_view what) {
    const auto size = cursor_.get<std::uint64_t>(what);
    return cursor_.text(size, what);
  }

  static std::size_t bytes_of(std::uint32_t type) {
    switch (type) {
      case kU8:
      case kI8:
      case kBool:
        return 1;
      case kU16:
      case kI16:
        return 2;
      case kU32:
      case kI32:
      case kF32:
        return 4;
      case kU64:
      case kI64:
      case kF64:
        return 8;
      default:
        return 0;
    }
  }

  std::string scalar(std::uint32_t type, std::string_view key) {
    switch (type) {
      case kU8:
        return fmt::format("{}", cursor_.get<std::uint8_t>("metadata value"));
      case kI8:
        return fmt::format("{}", cursor_.get<std::int8_t>("metadata value"));
      case kU16:
        return fmt::format("{}", cursor_.get<std::uint16_t>("metadata value"));
      case kI16:
        return fmt::format("{}", cursor_.get<std::int16_t>("metadata value"));
      case kU32:
        return fmt::format("{}", cursor_.get<std::uint32_t>("metadata value"));
      case kI32:
        return fmt::format("{}", cursor_.get<std::int32_t>("metadata value"));
      case kU64:
        return fmt::format("{}", cursor_.get<std::uint64_t>("metadata value"));
      case kI64:
        return fmt::format("{}", cursor_.get<std::int64_t>("metadata value"));
      case kF32:
        return fmt::format("{}", cursor_.get<float>("metadata value"));
      case kF64:
        return fmt::format("{}", cursor_.get<double>("metadata value"));
      case kBool:
        return cursor_.get<std::uint8_t>("metadata value") != 0 ? "true" : "false";
      case kString:
        return std::string(string("metadata text"));
      default:
        file_.fail(fmt::format("metadata {} has the unknown type {}", in_quotes(key), type));
    }
  }

  void skip_array(std::string_view key, std::size_t depth) {
    if (depth > kDeepestArray)
      file_.fail(fmt::format("metadata {}: arrays nested too deeply", in_quotes(key)));
    const auto type = cursor_.get<std::uint32_t>("metadata value");
    const auto count = cursor_.get<std::uint64_t>("metadata value");
    if (type == kArray) {
      for (std::uint64_t i = 0; i < count; ++i) skip_array(key, depth + 1);
    } else if (type == kString) {
      for (std::uint64_t i = 0; i < count; ++i) string("metadata text");
    } else if (const std::size_t bytes = bytes_of(type); bytes == 0 || count > cursor_.left() / bytes) {
      file_.fail(fmt::format("metadata {}: an array of {} values of type {} does not fit the file",
                             in_quotes(key), count, type));
    } else {
      cursor_.take(count * bytes, "metadata array");
    }
  }

  // Count and checks of an array of the tokenizer's.
  std::uint64_t list_of(std::string_view key, std::uint32_t wanted, std::size_t least_bytes) {
    const auto type = cursor_.get<std::uint32_t>(key);
    const auto count = cursor_.get<std::uint64_t>(key);
    if (type != wanted || count > kMostTokens || count > cursor_.left() / least_bytes) {
      file_.fail(fmt::format("{}: {} values of type {} are no vocabulary", key, count, type));
    }
    return count;
  }
  void read_texts(std::string_view key, std::vector<std::string>& texts) {
    const std::uint64_t count = list_of(key, kString, sizeof(std::uint64_t));
    texts.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) texts.emplace_back(string(key));
  }
  template <class T, class Out>
  void read_numbers(std::string_view key, std::uint32_t type, std::vector<Out>& numbers) {
    const std::uint64_t count = list_of(key, type, sizeof(T));
    numbers.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(static_cast<Out>(cursor_.get<T>(key)));
  }
  // False for an array that nobody needs.
  bool read_list(std::string_view key) {
    if (key == kTokens && result_.vocabulary.empty()) {
      read_texts(key, result_.vocabulary);
    } else if (key == "tokenizer.ggml.merges" && result_.merges.empty()) {
      read_texts(key, result_.merges);
    } else if (key == "tokenizer.ggml.scores" && result_.token_scores.empty()) {
      read_numbers<float>(key, kF32, result_.token_scores);
    } else if (key == "tokenizer.ggml.token_type" && result_.token_types.empty()) {
      read_numbers<std::int32_t>(key, kI32, result_.token_types);
    } else {
      return false;
    }
    return true;
  }

  void read_pair() {
    const auto key = string("metadata key");
    if (key.empty() || key.size() > kMaxKey) {
      file_.fail(
          fmt::format("damaged before byte {}: a metadata key of {} bytes", cursor_.position(), key.size()));
    }
    const auto type = cursor_.get<std::uint32_t>("metadata type");
    if (type == kArray) {
      if (!read_list(key)) skip_array(key, 0);
    } else if (!result_.metadata.emplace(key, scalar(type, key)).second) {
      file_.fail(fmt::format("metadata {} is given twice", in_quotes(key)));
    }
  }

  void read_description() {
    Description tensor;
    tensor.name = std::string(string("name of a tensor"));
    const auto rank = cursor_.get<std::uint32_t>("number of dimensions");
    if (rank > kMaxRank) file_.fail(fmt::format("tensor {} has {} dimensions", in_quotes(tensor.name), rank));
    tensor.shape.resize(rank);
    for (std::size_t i = rank; i-- > 0;)
      tensor.shape[i] = cursor_.get<std::uint64_t>("dimension");  // fastest first
    const auto type = cursor_.get<std::uint32_t>("type of a tensor");
    const auto encoding = encoding_of(type);
    if (!encoding) {
      file_.fail(fmt::format(
          "tensor {} has type {} ({}), which is not read; known: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
          "Q8_0, Q4_K, Q6_K",
          in_quotes(tensor.name), type, foreign_type(type)));
    }
    tensor.encoding = *encoding;
    tensor.offset = cursor_.get<std::uint64_t>("offset of a tensor");
    tensor.bytes = tensor_bytes(file_, tensor.name, tensor.encoding, tensor.shape);
    descriptions_.push_back(std::move(tensor));
  }

  std::size_t alignment() const {
    const auto found = result_.metadata.find("general.alignment");
    if (found == result_.metadata.end()) return 32;
    std::size_t value = 0;
    for (const char digit : found->second) {
      if (digit < '0' || digit > '9' || value > (1u << 20)) break;
      value = value * 10 + static_cast<std::size_t>(digit - '0');
    }
    if (value == 0 || value > (1u << 20) || (value & (value - 1)) != 0 ||
        std::to_string(value) != found->second) {
      file_.fail(
          fmt::format("general.alignment of {} is not a small power of two", in_quotes(found->second)));
    }
    return value;
  }

  void place_tensors() {
    const std::size_t unit = alignment();
    const std::size_t data = (cursor_.position() + unit - 1) / unit * unit;
    const std::size_t size = data < file_.bytes.size() ? file_.bytes.size() - data : 0;
    struct Range {
      std::size_t begin, end;
      const std::string* name;
    };
    std::vector<Range> ranges;
    for (auto& tensor : descriptions_) {
      if (tensor.offset > size || tensor.bytes > size - tensor.offset) {
        file_.fail(fmt::format("tensor {}: {} bytes at offset {} do not fit the {} bytes of data: truncated?",
                               in_quotes(tensor.name), tensor.bytes, tensor.offset, size));
      }
      if (tensor.bytes > 0) ranges.push_back({tensor.offset, tensor.offset + tensor.bytes, &tensor.name});
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < ranges.size(); ++i) {
      if (ranges[i].begin < ranges[i - 1].end) {
        file_.fail(fmt::format("tensors {} and {} overlap", in_quotes(*ranges[i - 1].name),
                               in_quotes(*ranges[i].name)));
      }
    }
    for (auto& tensor : descriptions_) {
      const std::size_t begin = data + (tensor.bytes > 0 ? tensor.offset : 0);
      if (tensor.bytes == 0) {  // its place does not matter, and may lie behind the end
        result_.tensors.push_back(
            tensor_in_file(file_, std::move(tensor.name), tensor.encoding, std::move(tensor.shape), 0, 0));
        continue;
      }
      result_.tensors.push_back(tensor_in_file(file_, std::move(tensor.name), tensor.encoding,
                                               std::move(tensor.shape), begin, begin + tensor.bytes));
    }
  }

  const FileBytes& file_;
  ByteCursor cursor_;
  Checkpoint result_;
  std::vector<Description> descriptions_;
};

}  // namespace

Checkpoint read_gguf_file(const FileBytes& file) { return GgufFile(file).checkpoint(); }

}  // namespace deciban
