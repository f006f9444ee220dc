// Two models on the same documents: difference, verdict, and what the documents could have shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/statistics.h"

namespace deciban {

// One document under both models: bits and bytes, or any measure and its weight.
struct PairedTerm {
  double base = 0, other = 0, weight = 0;
};

// Of the other model against the base: it needs clearly fewer bits (or is more accurate), clearly more, is
// shown to differ by less than the margin, or none of these is shown.
enum class Verdict { better, worse, same, unclear };
std::string_view verdict_word(Verdict verdict);

struct PairedOptions {
  double same_within = 0.005;  // the margin, as a share of the base's bits; 0: "same" is never said
  double level = 0.05;         // of every test (after Holm's correction, within a family)
  double power = 0.8;          // for what could have been shown
  std::uint64_t seed = 1;
  int resamples = 9999;
  bool lower_is_better = true;  // as bits are; accuracies are not
};

struct PairedResult {
  std::size_t documents = 0;
  double base = 0, other = 0;    // bits per byte
  Estimate difference;           // other − base, bits per byte; 95 % interval: that of the paired
                                 // bootstrap-t and Student's t, whichever reaches further
  Estimate relative;             // Σ (other − base) / Σ base
  std::optional<double> p;       // of no difference, two-sided
  std::optional<double> p_same;  // of a difference as large as the margin, or larger (TOST)
  std::optional<double> p_adjusted, p_same_adjusted;  // after Holm's correction within the family
  // The smallest true relative difference that this many documents show with the power asked for.
  std::optional<double> detectable;
  // Documents that show, with that power, a true difference as large as the margin; and those that show
  // sameness of equal models.  From the spread of the differences alone, never from the observed effect.
  std::optional<std::uint64_t> documents_for_margin, documents_for_same;
  double decibans_per_kb = 0;  // 10 log10 p(text | other) / p(text | base) per 1000 bytes
  bool differs = false;        // p_adjusted is below the level, whatever the verdict
  Verdict verdict = Verdict::unclear;
};

// Pooled over the corpora, resampled within each.  Verdict from the unadjusted p-values.  Throws
// std::invalid_argument for a margin, level or power that makes no sense, or a term that is not finite.
PairedResult compare_pairs(std::span<const std::vector<PairedTerm>> corpora,
                           const PairedOptions& options = {});

// Holm's adjusted p-values (Holm 1979, Scandinavian Journal of Statistics 6:65-70), in the order given.
std::vector<double> holm(std::span<const double> p_values);

// Corrects the p-values of a family (sources, tasks) and decides its verdicts anew.
void correct_family(std::span<PairedResult> family, const PairedOptions& options = {});

}  // namespace deciban
