// Near-duplicates: texts that share more than half of their runs of five words, recognised by MinHash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace deciban {

inline constexpr std::size_t kMinHashes = 128;
inline constexpr std::size_t kShingleWords = 5;

// The same on every machine.  Words are runs of letters and digits (bytes above 127 count as letters), ASCII
// in lower case; a text of fewer than five words has its words as its only shingle.
using MinHash = std::array<std::uint64_t, kMinHashes>;
MinHash min_hash(std::string_view text);

// Estimated share of common shingles (Jaccard), standard error at most 0.045.
double similarity(const MinHash& a, const MinHash& b);

// The texts accepted so far.
class NearDuplicates {
 public:
  explicit NearDuplicates(double threshold = 0.5) : threshold_(threshold) {}
  // The index of the first accepted text that this one repeats; if none does, it is accepted.
  std::optional<std::size_t> find_or_accept(std::string_view text);

 private:
  double threshold_;
  std::vector<MinHash> accepted_;
};

}  // namespace deciban
