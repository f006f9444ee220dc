#include "datasets/minhash.h"

#include <algorithm>
#include <limits>

namespace deciban {
namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser: every bit depends on every bit
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::vector<std::uint64_t> word_hashes(std::string_view text) {
  std::vector<std::uint64_t> words;
  std::uint64_t hash = 0;
  bool inside = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = byte >= 'A' && byte <= 'Z';
    const bool letter = upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte > 127;
    if (letter) {
      if (!inside) hash = 0xcbf29ce484222325ULL;  // FNV-1a
      hash = (hash ^ (upper ? byte + 32u : byte)) * 0x100000001b3ULL;
    } else if (inside) {
      words.push_back(hash);
    }
    inside = letter;
  }
  if (inside) words.push_back(hash);
  return words;
}

}  // namespace

MinHash min_hash(std::string_view text) {
  static const auto keys = [] {
    std::array<std::uint64_t, kMinHashes> result;
    for (std::size_t i = 0; i < kMinHashes; ++i) result[i] = mix((i + 1) * 0x9e3779b97f4a7c15ULL);
    return result;
  }();
  const std::vector<std::uint64_t> words = word_hashes(text);
  MinHash smallest;
  smallest.fill(std::numeric_limits<std::uint64_t>::max());
  const std::size_t length = std::min(words.size(), kShingleWords);
  for (std::size_t begin = 0; length > 0 && begin + length <= words.size(); ++begin) {
    std::uint64_t shingle = 0;
    for (std::size_t k = 0; k < length; ++k) shingle = mix(shingle + words[begin + k]);
    for (std::size_t i = 0; i < kMinHashes; ++i) smallest[i] = std::min(smallest[i], mix(shingle ^ keys[i]));
  }
  return smallest;
}

double similarity(const MinHash& a, const MinHash& b) {
  std::size_t equal = 0;
  for (std::size_t i = 0; i < kMinHashes; ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / kMinHashes;
}

std::optional<std::size_t> NearDuplicates::find_or_accept(std::string_view text) {
  const MinHash hash = min_hash(text);
  for (std::size_t i = 0; i < accepted_.size(); ++i) {
    if (similarity(hash, accepted_[i]) >= threshold_) return i;
  }
  accepted_.push_back(hash);
  return {};
}

}  // namespace deciban
