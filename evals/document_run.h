// One document on its way through a model: its queries cut into sequences, their scores put together to a
// record.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/lm.h"
#include "evals/run.h"
#include "evals/task.h"
#include "evals/token_scores.h"
#include "evals/window.h"

namespace deciban {

// How many bytes each token of a model stands for, found out once a token.
class TokenBytes {
 public:
  explicit TokenBytes(const LanguageModel& model) : model_(model) {}
  std::uint32_t of(Token token);

 private:
  static constexpr std::uint32_t kUnknown = 0xFFFFFFFF;
  const LanguageModel& model_;
  std::vector<std::uint32_t> known_;
};

// Names the document in a record: corpus, id, and its labels (when published, category, source).
void set_document(Record& record, const Corpus& corpus, const Document& document);

// How many tokens two sequences begin with in common.
std::size_t shared_tokens(std::span<const Token> a, std::span<const Token> b);

// Not copied while in flight: the model holds spans of its windows.
class DocumentRun {
 public:
  // Tokenises and cuts.  `record` has key, model, task, windowing, corpus, document and labels.  Throws
  // std::exception with the reason if this document cannot be scored.
  DocumentRun(const LanguageModel& model, const RunOptions& options, const Task& task, const Corpus& corpus,
              std::size_t document, Record record);
  DocumentRun(const DocumentRun&) = delete;
  DocumentRun& operator=(const DocumentRun&) = delete;

  std::size_t sequences() const { return places_.size(); }
  // The i-th sequence; `shared` counts the tokens that it begins with in common with the (i-1)-th.
  Sequence sequence(std::size_t i) const;
  // Takes the scores of sequence i.  Throws std::runtime_error if they cannot be right.
  void accept(std::size_t i, std::span<const TokenScore> scores);
  std::size_t delivered() const { return delivered_; }
  // When all sequences were delivered: the finished record, and per-token columns.
  Record finish();
  DocumentTokens tokens(TokenBytes& bytes) const;

  const Record& record() const { return record_; }
  double seconds = 0;

 private:
  struct Place {
    std::size_t query = 0, window = 0;
  };
  struct WindowSum {
    double logprob = 0;
    bool greedy = true;
  };

  const Task& task_;
  const Corpus& corpus_;
  const std::size_t document_;
  Record record_;
  std::vector<Windows> queries_;                            // one a query
  std::vector<QueryScore> scores_;                          // likewise
  std::vector<std::vector<WindowSum>> sums_;                // a query, a window
  std::vector<std::vector<std::vector<TokenScore>>> kept_;  // likewise; only for token scores
  std::vector<Place> places_;                               // of the sequences
  std::size_t delivered_ = 0;
};

}  // namespace deciban
