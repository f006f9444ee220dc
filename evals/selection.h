// Which documents a run scores: the first so many of each corpus, and of these this shard's part.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/corpus.h"

namespace deciban {

// "all", "20" (documents) or "10%": the first ones of every corpus, in its order.
struct Limit {
  std::optional<std::size_t> documents;
  std::optional<double> percent;              // rounded up, so that no corpus vanishes
  static Limit parse(std::string_view word);  // throws std::invalid_argument
  std::string name() const;
  std::size_t of(std::size_t documents_there) const;
};

// "2/8": the second (index 1) of eight shards.  Written from 1 to N for people, kept from 0.
struct Shard {
  std::size_t index = 0, count = 1;
  static Shard parse(std::string_view word);  // "I/N", 1 <= I <= N; throws std::invalid_argument
  std::string name() const;                   // "2/8"
  std::string file_suffix() const;            // "2-of-8"; empty for a single shard
};

struct Selected {
  std::size_t corpus = 0, document = 0;  // indices
  friend bool operator==(const Selected&, const Selected&) = default;
};

// The selected documents in corpus order.  Shards share the documents of all corpora together, so that each
// gets nearly the same number of bytes: from the longest to the shortest (of equals, the earlier first) every
// document goes to the shard that has the fewest bytes so far (of equals, the lowest index).
std::vector<Selected> select(std::span<const Corpus* const> corpora, const Limit& limit, const Shard& shard);

// What a document costs to score, for balancing and progress: its bytes, or about four for each given token.
std::size_t size_of(const Document& document);

}  // namespace deciban
