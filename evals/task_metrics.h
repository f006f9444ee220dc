// From the scores of a question's requests to its measures, and from measures to figures, as
// lm-evaluation-harness does both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evals/task.h"
#include "evals/task_spec.h"
#include "reports/record.h"

namespace deciban {

struct Question;

// NumPy's argmax: the first maximum; the first NaN before everything.
std::size_t first_best(std::span<const double> values);

// SQuAD's exact match and token F1 of a prediction and one gold answer (v1.1, normalised texts).
bool squad_exact(std::string_view prediction, std::string_view gold);
double squad_f1(std::string_view prediction, std::string_view gold);

// Measures of one question, named as the metrics: acc, acc_norm, f1, em {value, 1}; perplexity {ln p, 1};
// word_perplexity {ln p, words}; byte_perplexity and bits_per_byte {ln p, bytes}.
Measures judge_question(const TaskRules& rules, const Question& question, std::span<const QueryScore> scores);

// How a metric's measures become one figure, in words.
std::string aggregation_of(std::string_view metric);
// That figure.  NaN where there is nothing to divide by.
double figure_of(std::string_view metric, std::span<const Measure> documents);
// The harness's standard error of it; none where it gives "N/A": fewer than two documents, or a metric for
// which it has none.  Perplexities are resampled `resamples` times (0: none).
std::optional<double> standard_error(std::string_view metric, std::span<const Measure> documents,
                                     std::size_t resamples = 100000);
bool higher_is_better(std::string_view metric);

// A group's mean and standard error from those of its tasks, weighted by their documents or not.
struct GroupPart {
  double value = 0;
  std::optional<double> error;
  std::size_t documents = 0;
};
double group_mean(std::span<const GroupPart> parts, bool weighted);
std::optional<double> group_error(std::span<const GroupPart> parts);

}  // namespace deciban
