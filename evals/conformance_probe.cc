#include "evals/conformance_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace deciban {
namespace {

constexpr float kPositiveSlack = 1e-3f;  // as in records

class Collector final : public SequenceSource, public ScoreSink {
 public:
  Collector(const std::vector<ProbeSequence>& sequences, bool rows)
      : sequences_(sequences), rows_(rows), results_(sequences.size()), delivered_(sequences.size()) {}

  bool next(Sequence& out) override {
    if (next_ == sequences_.size()) return false;
    const ProbeSequence& sequence = sequences_[next_++];
    out = {sequence.tokens, sequence.first, sequence.shared};
    return true;
  }
  void scored(std::size_t index, std::span<const TokenScore> scores) override {
    if (!mark(index)) return;
    results_[index].scores.assign(scores.begin(), scores.end());
  }
  void failed(std::size_t index, const std::string& reason) override {
    if (mark(index))
      note(fmt::format("a sequence of {} tokens failed: {}", sequences_[index].tokens.size(), reason));
  }
  bool wants_rows() const override { return rows_; }
  void rows(std::size_t index, std::size_t /*position*/, const LogitRows& logits) override {
    if (index >= results_.size())
      return note(fmt::format("rows came for sequence {}, which was not given", index));
    results_[index].rows.insert(results_[index].rows.end(), logits.data,
                                logits.data + logits.rows * logits.columns);
  }

  std::vector<Probed> take() {
    for (std::size_t i = 0; i < sequences_.size() && error_.empty(); ++i) check(i);
    if (!error_.empty()) throw std::runtime_error(error_);
    return std::move(results_);
  }

 private:
  bool mark(std::size_t index) {
    if (index < delivered_.size() && !delivered_[index]) return delivered_[index] = true;
    note(fmt::format("sequence {} was delivered twice, or never given", index));
    return false;
  }
  void note(const std::string& text) {
    if (error_.empty()) error_ = text;
  }
  void check(std::size_t i) {
    const std::size_t expected = sequences_[i].tokens.size() - sequences_[i].first;
    if (!delivered_[i])
      return note(fmt::format("no result came for a sequence of {} tokens", expected + sequences_[i].first));
    if (results_[i].scores.size() != expected) {
      return note(fmt::format("{} scores came for {} tokens", results_[i].scores.size(), expected));
    }
    for (const TokenScore& score : results_[i].scores) {
      if (!(score.logprob <= kPositiveSlack) || !(score.best_logprob <= kPositiveSlack)) {
        return note(fmt::format("{} came as a log-probability",
                                score.logprob <= kPositiveSlack ? score.best_logprob : score.logprob));
      }
    }
  }

  const std::vector<ProbeSequence>& sequences_;
  const bool rows_;
  std::size_t next_ = 0;
  std::vector<Probed> results_;
  std::vector<bool> delivered_;
  std::string error_;
};

}  // namespace

std::vector<Probed> probe(LanguageModel& model, const std::vector<ProbeSequence>& sequences, bool rows) {
  Collector collector(sequences, rows);
  model.score(collector, collector);
  return collector.take();
}

double largest_difference(std::span<const TokenScore> a, std::span<const TokenScore> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double most = 0;
  const auto compare = [&](float x, float y) {
    if (x != y) most = std::max(most, std::abs(static_cast<double>(x) - y));
  };
  for (std::size_t i = 0; i < a.size(); ++i) {
    compare(a[i].logprob, b[i].logprob);
    compare(a[i].best_logprob, b[i].best_logprob);
  }
  return most;
}

double log_sum_exp(std::span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float value : logits) total += std::exp(value - best);
  return best + std::log(total);
}

}  // namespace deciban
