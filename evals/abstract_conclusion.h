// Abstract → conclusion: how many bits of a paper's conclusion a model can tell from its abstract.
//
// The measure is the difference between the conclusion's bits after another paper's abstract and after its
// own.  The other abstract warms a model up just as well (language, field, style, length) and only lacks what
// this paper found; own less nothing would mostly measure the warming up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "evals/task.h"

namespace deciban {

// The text a conclusion follows; an empty abstract is the control that is given nothing.
std::string conclusion_context(std::string_view abstract);

// Documents need the fields `abstract` and `conclusion`; the category is `primary_category`, else the first
// of `categories`, else `category`.  Measures, each {sum, weight}, per byte of the conclusion:
// bits_given_own, bits_given_other (mean over the derangements), bits_given_nothing, bits_told_by_abstract
// (other − own); control_level {0 … 3, 1}: how far the controls were fetched, see PoolLevel.
class AbstractConclusionTask : public Task {
 public:
  explicit AbstractConclusionTask(std::size_t derangements = 20) : derangements_(derangements) {}

  std::string name() const override { return "abstract-conclusion"; }
  std::string version() const override;
  std::map<std::string, std::string> aggregations() const override;
  // Draws the derangements among all papers of the corpus that have both parts.
  void prepare(const Corpus& all, std::uint64_t seed) override;
  std::string exclusion(const Corpus& corpus, std::size_t document) const override;
  std::string digest(const Corpus& corpus, std::size_t document) const override;
  // Own, nothing, then each other abstract once.
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;

 private:
  struct Control {
    std::size_t document = 0;  // whose abstract
    std::size_t times = 0;     // in how many derangements
  };
  struct Controls {
    std::vector<Control> others;  // by document
    int level = 0;
  };
  const Controls& controls(const Corpus& corpus, std::size_t document) const;

  const std::size_t derangements_;
  std::map<std::string, std::map<std::size_t, Controls>> prepared_;  // corpus digest → document
};

}  // namespace deciban
