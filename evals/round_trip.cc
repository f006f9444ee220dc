#include "evals/round_trip.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace deciban {
namespace {

constexpr std::size_t kAgree = 3;   // so many equal bytes end a stretch of differences
constexpr std::size_t kReach = 48;  // how far ahead the end of a stretch is looked for on either side

bool agree(std::string_view a, std::string_view b) {
  const std::size_t n = std::min({a.size(), b.size(), kAgree});
  // Near the end fewer bytes are left to compare; then both must end together.
  return a.substr(0, n) == b.substr(0, n) && (n == kAgree || a.size() == b.size());
}

}  // namespace

std::size_t first_difference(std::string_view text, std::string_view copy) {
  const auto [a, b] = std::mismatch(text.begin(), text.end(), copy.begin(), copy.end());
  return static_cast<std::size_t>(a - text.begin());
}

std::size_t differing_bytes(std::string_view text, std::string_view copy) {
  std::size_t count = 0;
  while (true) {
    const std::size_t same = first_difference(text, copy);
    text.remove_prefix(same);
    copy.remove_prefix(same);
    if (text.empty() || copy.empty()) return count + std::max(text.size(), copy.size());
    // The nearest pair of offsets (by their sum) from which both go on alike.
    bool found = false;
    for (std::size_t sum = 1; sum <= 2 * kReach && !found; ++sum) {
      for (std::size_t i = sum > kReach ? sum - kReach : 0; i <= std::min(sum, kReach); ++i) {
        const std::size_t j = sum - i;
        if (i > text.size() || j > copy.size() || !agree(text.substr(i), copy.substr(j))) continue;
        count += std::max(i, j);
        text.remove_prefix(i);
        copy.remove_prefix(j);
        found = true;
        break;
      }
    }
    if (!found) return count + std::max(text.size(), copy.size());
  }
}

std::vector<Token> encode_checked(const LanguageModel& model, std::string_view text, std::size_t offset,
                                  std::size_t& lossy_bytes) {
  std::vector<Token> tokens = model.encode(text);
  const std::string copy = model.decode(tokens);
  if (copy == text) return tokens;
  const std::string normal = model.normalise(text);
  if (copy != normal) {
    throw std::runtime_error(
        fmt::format("tokenizer {} does not give the text back: byte {} differs after decoding; is it this "
                    "model's vocabulary?",
                    model.info().tokenizer, offset + first_difference(normal, copy)));
  }
  lossy_bytes += differing_bytes(text, copy);
  return tokens;
}

}  // namespace deciban
