// What length buys: the bits of the same last bytes of long documents, given more and more of what stands
// before them (Fig. 6 of the RWKV paper, in bytes so that tokenizers do not matter).
#pragma once

#include <cstddef>
#include <string>

#include "evals/task.h"

namespace deciban {

// One context size; the task of each is called "context:N".  The target is the last `target` bytes of a
// document, begun at a character's start, and the context the `bytes` before it, likewise.  Documents that
// are shorter than `least` bytes are none for the task: with least = the longest context asked for + target,
// all sizes are measured on the same documents.
class ContextTask : public Task {
 public:
  ContextTask(std::size_t bytes, std::size_t target, std::size_t least)
      : bytes_(bytes), target_(target), least_(least) {}
  std::string name() const override;
  std::string version() const override;
  std::map<std::string, std::string> aggregations() const override;
  std::string exclusion(const Corpus& corpus, std::size_t document) const override;
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  // bits_per_byte {bits, the target's bytes}.
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;

 private:
  std::size_t bytes_, target_, least_;
};

}  // namespace deciban
