// Synthetic recall: does a model find again what a text told it?  Names and numbers are told in a filler
// text; then one of the names is asked for.  One pair is the passkey test, several are needles in a haystack,
// and without filler it is associative recall.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "evals/task.h"

namespace deciban {

struct RecallShape {
  std::size_t bytes = 0;  // of the context, at least; what the pairs do not take is filler
  std::size_t pairs = 1;
  std::size_t documents = 100;
  std::uint64_t seed = 1;
};

// Options to choose from: the right number and others that the text tells of other names (as far as it does).
inline constexpr std::size_t kRecallChoices = 4;

// A corpus made by the shape alone, the same on every machine.  The asked pair's place is uniform.  Its
// documents' fields: context, answers (the right one first).
Corpus recall_corpus(const RecallShape& shape);

// Measures of a recall_corpus: bits_per_byte {bits of the right answer, its bytes}; choice {1 if the right
// answer is likelier than each other option, 1}.
class RecallTask : public Task {
 public:
  std::string name() const override { return "recall"; }
  std::string version() const override { return "1"; }
  std::map<std::string, std::string> aggregations() const override;
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;
};

}  // namespace deciban
