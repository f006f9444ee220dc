// The compression task: how many bits a model needs for a document.  One query a document, with no context.
#pragma once

#include "evals/task.h"

namespace deciban {

// Measures, each {sum, weight}: bits_per_byte {bits, raw bytes}, bits_per_character {bits, characters},
// nats_per_token {nats, scored tokens}, bits_per_byte_charged {bits + 8 for each unscored byte, raw bytes}.
class CompressionTask : public Task {
 public:
  std::string name() const override { return "compression"; }
  std::string version() const override { return "1"; }
  std::map<std::string, std::string> aggregations() const override;
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;
};

// Unicode characters of a text, as its UTF-8 lead bytes; of bytes that are not UTF-8 each non-continuation
// byte is one.
std::uint64_t characters(std::string_view text);

}  // namespace deciban
