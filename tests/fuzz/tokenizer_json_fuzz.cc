// Any bytes as a tokenizer.json: parsed or refused; what was parsed encodes a text without harm.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "engine/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = deciban::parse_bpe_tokenizer(json, "t.json");
    const std::string text = "ab  aab<s> 12\n\xE2\x96\x81x\xC3\xA9\xFF";
    try {
      for (const deciban::Token token : tokenizer->encode(text)) {
        if (token < 0 || static_cast<std::size_t>(token) >= tokenizer->size()) std::abort();
      }
      tokenizer->normalise(text);
    } catch (const std::runtime_error&) {  // an expression that backtracks beyond measure
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
