#include "engine/world_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <unordered_map>

#include "engine/python_literal.h"
#include "engine/vocabulary_file.h"

namespace deciban {

namespace {

constexpr std::size_t kMaximumId = 65535;
constexpr std::size_t kMaximumTokenBytes = 1024;  // the published vocabulary's longest has 128

// The published vocabulary (rwkv_vocab_v20230424.txt): its file, and its tokens as world_token_digest()
// hashes them.
constexpr std::string_view kPublishedFile =
    "e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89";
constexpr std::string_view kPublishedTokens =
    "eba50da73aabcb7b43b0e42c1242bf0f072c65391648af2645ce03fe4dac962f";

std::size_t parse_number(std::string_view digits, const char* what) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    throw std::invalid_argument(fmt::format("the {} '{}' is not a number", what, digits.substr(0, 40)));
  }
  return value;
}

struct Line {
  std::size_t id;
  std::string bytes;
};

Line parse_line(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    throw std::invalid_argument("the line is not of the form: ID 'TOKEN' BYTELEN");
  }
  Line parsed{parse_number(line.substr(0, first), "id"), {}};
  const std::size_t length = parse_number(line.substr(last + 1), "length");
  parsed.bytes = parse_python_literal(line.substr(first + 1, last - first - 1));
  if (parsed.bytes.size() != length) {
    throw std::invalid_argument(
        fmt::format("token {} has {} bytes, but the line says {}", parsed.id, parsed.bytes.size(), length));
  }
  return parsed;
}

// Why the vocabulary can't serve, or empty.
std::string find_defect(const WorldVocabulary& vocabulary) {
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary[id].empty()) continue;
    const auto [known, fresh] = ids.emplace(vocabulary[id], id);
    if (!fresh) return fmt::format("ids {} and {} have the same bytes", known->second, id);
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (!ids.contains(std::string(1, static_cast<char>(byte)))) {
      return fmt::format("the single byte 0x{:02X} has no token, so not every text could be encoded", byte);
    }
  }
  return {};
}

}  // namespace

WorldVocabulary parse_world_vocabulary(std::string_view text, const std::string& path) {
  WorldVocabulary vocabulary(1);
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    try {
      Line parsed = parse_line(line);
      if (parsed.id < vocabulary.size()) {
        throw std::invalid_argument(parsed.id == 0 ? "id 0 is reserved for the document separator"
                                    : parsed.id == vocabulary.size() - 1
                                        ? fmt::format("id {} is given twice", parsed.id)
                                        : fmt::format("id {} comes after id {}: given twice, or out of order",
                                                      parsed.id, vocabulary.size() - 1));
      }
      if (parsed.id > kMaximumId) {
        throw std::invalid_argument(fmt::format("id {} exceeds {}", parsed.id, kMaximumId));
      }
      if (parsed.bytes.empty() || parsed.bytes.size() > kMaximumTokenBytes) {
        throw std::invalid_argument(fmt::format("token {} has {} bytes; 1 to {} are allowed", parsed.id,
                                                parsed.bytes.size(), kMaximumTokenBytes));
      }
      vocabulary.resize(parsed.id + 1);
      vocabulary.back() = std::move(parsed.bytes);
    } catch (const std::invalid_argument& error) {
      throw std::runtime_error(
          number == 1 ? fmt::format("{}:1: {}; this is not a World vocabulary (rwkv_vocab_v20230424.txt)",
                                    path, error.what())
                      : fmt::format("{}:{}: {}", path, number, error.what()));
    }
  }
  if (number == 0) throw std::runtime_error(fmt::format("{}:1: the vocabulary is empty", path));
  if (const std::string defect = find_defect(vocabulary); !defect.empty()) {
    throw std::runtime_error(fmt::format("{}:{}: {}; the file may be truncated: its last id is {}", path,
                                         number, defect, vocabulary.size() - 1));
  }
  return vocabulary;
}

WorldVocabulary unescape_world_tokens(const std::vector<std::string>& tokens) {
  if (tokens.size() > kMaximumId + 1) {
    throw std::runtime_error(
        fmt::format("the GGUF's vocabulary has {} tokens; a World vocabulary has at most {}", tokens.size(),
                    kMaximumId + 1));
  }
  WorldVocabulary vocabulary(tokens.size());
  std::size_t used = 0;
  for (std::size_t id = 1; id < tokens.size(); ++id) {
    if (tokens[id] == fmt::format("[PAD{}]", id)) continue;
    try {
      vocabulary[id] = unescape_python(tokens[id], PythonLiteral::bytes, /*raw=*/true);
      if (vocabulary[id].empty() || vocabulary[id].size() > kMaximumTokenBytes) {
        throw std::invalid_argument(
            fmt::format("it has {} bytes; 1 to {} are allowed", vocabulary[id].size(), kMaximumTokenBytes));
      }
      used = id;
    } catch (const std::invalid_argument& error) {
      throw std::runtime_error(
          fmt::format("the GGUF's vocabulary is no World vocabulary: token {}: {}", id, error.what()));
    }
  }
  vocabulary.resize(used + 1);
  if (const std::string defect = find_defect(vocabulary); !defect.empty()) {
    throw std::runtime_error("the GGUF's vocabulary is no World vocabulary: " + defect);
  }
  return vocabulary;
}

std::string world_file_digest(std::string_view text) {
  if (text.find('\r') == std::string_view::npos) return text_digest(text);
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  }
  return text_digest(plain);
}

std::string world_token_digest(const WorldVocabulary& vocabulary) {
  std::string all;
  for (const std::string& bytes : vocabulary) {
    all += fmt::format("{}:", bytes.size());
    all += bytes;
  }
  std::string digest = text_digest(all);
  return digest == kPublishedTokens ? std::string(kPublishedFile) : digest;
}

}  // namespace deciban
