// Any bytes as a World vocabulary: parsed or refused; what was parsed keeps its promises.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "engine/python_literal.h"
#include "engine/world_vocabulary.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// All bytes as tokens, so that the fuzzer's lines need not bring them.
const std::string& all_bytes() {
  static const std::string text = [] {
    std::string lines;
    for (int byte = 0; byte < 256; ++byte) {
      static constexpr char kDigits[] = "0123456789abcdef";
      lines += std::to_string(byte + 1) + " b'\\x" + kDigits[byte / 16] + kDigits[byte % 16] + "' 1\n";
    }
    return lines;
  }();
  return text;
}

void parse(const std::string& text) {
  try {
    const deciban::WorldVocabulary vocabulary = deciban::parse_world_vocabulary(text, "input");
    require(vocabulary.size() >= 257 && vocabulary.size() <= 65536 && vocabulary[0].empty());
    require(!vocabulary.back().empty());
    require(deciban::world_token_digest(vocabulary).size() == 64);
  } catch (const std::runtime_error&) {
  }
  require(deciban::world_file_digest(text).size() == 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  parse(input);
  parse(all_bytes() + input);
  try {
    deciban::parse_python_literal(input);
  } catch (const std::invalid_argument&) {
  }
  try {
    deciban::unescape_world_tokens({"<s>", input, "[PAD2]"});
  } catch (const std::runtime_error&) {
  }
  return 0;
}
