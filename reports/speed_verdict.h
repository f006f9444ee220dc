// Verdicts on speed: is the new slower than the old by more than a least effect, judged over all cases of a
// gate run together, so that the chance of any false alarm is one number for the whole run.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/statistics.h"

namespace deciban {

// Every verdict begins as `unclear`; only evidence moves it.
enum class SpeedVerdict { unclear, same, slower, faster };
std::string_view name(SpeedVerdict verdict);

// A case's timings, in seconds or any other cost, > 0.
struct SpeedSamples {
  std::string name;
  std::vector<double> before, after;
  bool paired = false;  // before[i] and after[i] come from the same round
  double extra_effect =
      0;  // added to SpeedRule::effect for this case: what the comparison itself is unsure of
};

struct SpeedRule {
  double effect = 0.05;  // differences up to this share do not matter
  double alpha = 0.01;   // chance of any false "slower" (and as much of any false "faster") in the whole run
};

struct SpeedResult {
  std::string name;
  SpeedVerdict verdict = SpeedVerdict::unclear;
  double before = 0, after = 0;       // medians
  double ratio = 1;                   // after / before: Hodges and Lehmann's estimate on logarithms
  std::optional<Interval> interval;   // 95 %, of this case alone
  double p_slower = 1, p_faster = 1;  // of a ratio within the least effect; Holm's adjustment over all cases
  double effect = 0;                  // least effect that was asked of this case
  std::size_t samples = 0;            // of the side that has fewer
  std::string reason;                 // of `unclear`, in words
};

// A case is slower if a test rejects that after / before is 1 + effect or less: Wilcoxon's signed ranks of
// logarithms' differences where rounds pair them, else Mann and Whitney's; p-values adjusted over all cases
// (Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure).  Faster likewise for 1 / (1 +
// effect). Same if the case's own 95 % interval lies within both.  Throws std::invalid_argument naming the
// case for timings that are not finite and above 0, and for pairs of unequal number.
std::vector<SpeedResult> judge_speed(std::span<const SpeedSamples> cases, const SpeedRule& rule = {});

// The fewest samples of each side with which a case among `cases` can be called slower at all.
std::size_t least_samples(std::size_t cases, bool paired, double alpha);

}  // namespace deciban
