// The task "uncheatable": compression of the beginnings of texts, as uncheatable_eval takes them.
#pragma once

#include <cstddef>
#include <string>

#include "evals/compression.h"

namespace deciban {

// Documents of at most `least` characters are left out, of others the first `most` characters count; the
// defaults are those of uncheatable_eval before 2026.  Measures as in CompressionTask, of that beginning.
class UncheatableTask : public CompressionTask {
 public:
  explicit UncheatableTask(std::size_t least = 2000, std::size_t most = 5000);
  std::string name() const override { return "uncheatable"; }
  std::string version() const override;
  std::string exclusion(const Corpus& corpus, std::size_t document) const override;
  std::string digest(const Corpus& corpus, std::size_t document) const override;
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;

 private:
  const std::size_t least_, most_;  // characters
};

// The first `count` characters of a text, characters counted as characters() does.
std::string_view first_characters(std::string_view text, std::size_t count);

}  // namespace deciban
