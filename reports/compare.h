// Two line-ups of records on their common documents: settings that differ, paired results by source,
// evidence, and agreement token by token where that was kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/collection.h"
#include "reports/paired.h"
#include "reports/table.h"

namespace deciban {

struct TokenAgreement {
  std::uint64_t tokens = 0, documents = 0;
  double same_best = 0;  // share of tokens whose most probable token is the same
  // Lower bound on the mean KL divergence from base to other, nats a token: that of the coarser distributions
  // over {the text's token, the common best token, all others}, which is all that was kept (data-processing
  // inequality).  NaN without tokens.
  double least_divergence = 0;
  double mean_difference = 0, largest_difference = 0;  // of log p(token), nats, absolute
};

// What `deciban gate kl` kept of the two: over the whole vocabulary at every token.
struct KnownDivergence {
  double kl = 0;                     // mean of KL(base ‖ other), nats a token
  std::optional<Interval> interval;  // 95 % over documents
  double same_best = 0;              // share of tokens whose most probable token is the same
  std::uint64_t tokens = 0;
  std::string when, windowing, texts;  // texts: names of corpora
  bool same_texts = false;             // its corpora are those of the comparison, whole
};

struct SourceComparison {
  std::string name;  // corpus, or task and measure
  PairedResult result;
};

struct Comparison {
  std::string base, other;                       // names for people
  std::string task, measure, windowing;          // measure: "bits per byte" or a task's
  std::vector<std::string> setting_differences;  // sentences: window, start token
  std::size_t only_base = 0, only_other = 0;     // documents that the other one lacks
  PairedResult overall;
  std::vector<SourceComparison> sources;  // by corpus, corrected as a family; empty with a single corpus
  std::optional<KnownDivergence> divergence;
  std::optional<TokenAgreement> agreement;
  bool same_vocabulary = false;  // both read the same tokens, so that they have a divergence
};

// What may be measured on a line-up: "bits per byte", or names of measures with a known direction.
std::vector<std::string> comparable_measures(const LineUp& lineup);
// Whether smaller values of a measure are the better ones; none for measures that are neither (counts,
// levels).
std::optional<bool> lower_is_better(std::string_view measure);

// Pairs two line-ups of the same task.  Throws std::runtime_error if they have no document in common.
Comparison compare_lineups(const Collection& collection, const LineUp& base, const LineUp& other,
                           const std::string& measure, const PairedOptions& options = {});

// The latest divergence that a gate kept of these two models in these modes; none if there is none.
std::optional<KnownDivergence> known_divergence(const Collection& collection, const LineUp& base,
                                                const LineUp& other);

// Token by token over the documents of both; none where scores were not kept, or the tokens differ.
std::optional<TokenAgreement> token_agreement(const LineUp& base, const LineUp& other);

// Rows: overall, then sources.
Table comparison_table(std::span<const Comparison> comparisons);
// What a person should read below the table, a sentence each.
std::vector<std::string> comparison_notes(const Comparison& comparison, const PairedOptions& options);

}  // namespace deciban
