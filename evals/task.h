// What is asked of a model.  A task sees text, never tokens: windows, batches, cache and shards belong to the
// runner.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "reports/record.h"

namespace deciban {

// log p(continuation | context).  An empty context follows the start token.
struct Query {
  std::string context, continuation;
  std::vector<Token> tokens;  // pre-tokenised continuation; then both texts are empty
  bool whole_text = false;    // the continuation is a text of its own: request windowings may cut it anywhere
};

struct QueryScore {
  double logprob = 0;                           // nats, f64, over the scored tokens of the continuation
  bool greedy = false;                          // every scored token was the most probable one
  std::uint64_t tokens = 0, scored_tokens = 0;  // of the continuation
  std::uint64_t bytes = 0, unscored_bytes = 0;  // of the continuation's text
  std::uint64_t lossy_bytes = 0;
};

// Each measure is {sum, weight}; how a measure is aggregated (its unit) is named in run.json by the task.
using Measures = std::map<std::string, Measure>;

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual std::string version() const = 0;
  // Measure → how the documents' {sum, weight} become one figure, in words; stands in run.json.
  virtual std::map<std::string, std::string> aggregations() const = 0;
  // Before limit and shard are applied: few-shot draws, permuted controls.  Sees the whole corpus.
  virtual void prepare(const Corpus& /*all*/, std::uint64_t /*seed*/) {}
  // Not empty: this document is none for the task (a paper without a conclusion), and why.  It is counted and
  // left out, while one that cannot be scored fails.  Not asked for documents that could not be read.
  virtual std::string exclusion(const Corpus& /*corpus*/, std::size_t /*document*/) const { return {}; }
  // What the queries depend on, as a SHA-256 in hex: documents of equal digest get equal results.
  virtual std::string digest(const Corpus& corpus, std::size_t document) const {
    return corpus.documents.at(document).digest;
  }
  // Labels of this document's record beside those that its row gives.
  virtual std::map<std::string, std::string> labels(const Corpus& /*corpus*/,
                                                    std::size_t /*document*/) const {
    return {};
  }
  virtual std::vector<Query> queries(const Corpus& corpus, std::size_t document) const = 0;
  virtual Measures judge(const Corpus& corpus, std::size_t document,
                         std::span<const QueryScore> scores) const = 0;
};

}  // namespace deciban
