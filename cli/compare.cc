#include "cli/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "cli/suggest.h"
#include "reports/compare.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

struct Side {
  fs::path run;
  std::string model;  // empty: whatever is there
};

// "RUN" or "RUN:MODEL"; a path that exists is never split.
Side side_of(const std::string& word) {
  if (fs::exists(word)) return {word, ""};
  const std::size_t colon = word.rfind(':');
  if (colon == std::string::npos || colon == 0) return {word, ""};
  return {word.substr(0, colon), word.substr(colon + 1)};
}

// "0.5%" or "0.005" as a share.
double share_of(const std::string& word) {
  const bool percent = word.ends_with('%');
  const std::string digits = word.substr(0, word.size() - (percent ? 1 : 0));
  double value = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || !(value >= 0)) {
    throw std::invalid_argument(fmt::format(
        "--same-within '{}' is no share: write 0.5% or 0.005 (0: never call two models the same)", word));
  }
  value = percent ? value / 100 : value;
  if (value >= 1) throw std::invalid_argument(fmt::format("--same-within {} is 100 % or more", word));
  return value;
}

std::vector<std::string> labels_of(const Collection& collection) {
  std::set<std::string> labels;
  for (const LineUp& lineup : collection.lineups) {
    if (!lineup.compressor) labels.insert(lineup.label);
  }
  return {labels.begin(), labels.end()};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// The line-ups of one side: of the model asked for, or of all that are no compressors.
std::vector<const LineUp*> lineups_of(const Collection& collection, const Side& side,
                                      const std::string& task) {
  std::vector<const LineUp*> found;
  for (const LineUp& lineup : collection.lineups) {
    const bool from_here = std::any_of(lineup.runs.begin(), lineup.runs.end(), [&](const std::string& run) {
      return fs::path(run) == side.run || fs::path(run).parent_path() == side.run;
    });
    if (!from_here || (!task.empty() && lineup.task != task)) continue;
    if (side.model.empty() ? !lineup.compressor : lineup.label == side.model || lineup.name == side.model)
      found.push_back(&lineup);
  }
  if (!found.empty()) return found;
  const std::vector<std::string> labels = labels_of(collection);
  if (!side.model.empty()) {
    throw std::invalid_argument(fmt::format("{} has no model '{}' (there are {}){}", side.run.string(),
                                            side.model, joined(labels), did_you_mean(side.model, labels)));
  }
  throw std::runtime_error(fmt::format("{} has no records of {}", side.run.string(),
                                       task.empty() ? "a model" : fmt::format("task {}", task)));
}

bool one_label(const std::vector<const LineUp*>& lineups) {
  return std::all_of(lineups.begin(), lineups.end(),
                     [&](const LineUp* lineup) { return lineup->label == lineups[0]->label; });
}

struct Pair {
  const LineUp *base, *other;
  bool same_setting() const { return base->windowing == other->windowing && same_start(*base, *other); }
};

// Of all pairs of the same task (and, where sides hold several models, the same label): those whose settings
// agree; of these the matched windows, where a run has several.
std::vector<Pair> pairs_of(const std::vector<const LineUp*>& base, const std::vector<const LineUp*>& other,
                           const CompareOptions& options) {
  const bool by_label = !one_label(base) || !one_label(other);
  std::vector<Pair> candidates;
  for (const LineUp* a : base) {
    for (const LineUp* b : other) {
      if (a != b && a->task == b->task && (!by_label || a->label == b->label)) candidates.push_back({a, b});
    }
  }
  if (candidates.empty()) {
    std::set<std::string> labels;
    for (const auto* side : {&base, &other}) {
      for (const LineUp* lineup : *side) labels.insert(lineup->label);
    }
    throw std::invalid_argument(
        fmt::format("nothing to pair: name a model on each side, as in RUN:MODEL (there are {})",
                    joined({labels.begin(), labels.end()})));
  }
  std::vector<Pair> agreeing;
  std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(agreeing),
               [](const Pair& pair) { return pair.same_setting(); });
  if (agreeing.empty() && !options.across) {
    const LineUp &a = *candidates[0].base, &b = *candidates[0].other;
    throw std::runtime_error(
        fmt::format("{} was scored with window {} and start {}, {} with window {} and start {}: such figures "
                    "measure different "
                    "things; score both alike, or compare them all the same with --across",
                    a.name, a.windowing, a.start.empty() ? "unknown" : a.start, b.name, b.windowing,
                    b.start.empty() ? "unknown" : b.start));
  }
  if (agreeing.empty()) return candidates;
  std::vector<Pair> matched;
  std::copy_if(agreeing.begin(), agreeing.end(), std::back_inserter(matched), [](const Pair& pair) {
    return pair.base->role == "matched" && pair.other->role == "matched";
  });
  return matched.empty() ? agreeing : matched;
}

}  // namespace

int compare(const CompareOptions& options, const Console& console) {
  if (options.sides.size() != 2) {
    throw std::invalid_argument(
        fmt::format("two sides are compared, base and new; {} given", options.sides.size()));
  }
  const std::vector<std::string> conditions{"worse", "unclear", "different"};
  if (!options.fail_if.empty() &&
      std::find(conditions.begin(), conditions.end(), options.fail_if) == conditions.end()) {
    throw std::invalid_argument(fmt::format("unknown --fail-if '{}'{}; known are {}", options.fail_if,
                                            did_you_mean(options.fail_if, conditions), joined(conditions)));
  }
  PairedOptions paired;
  paired.same_within = share_of(options.same_within);
  paired.seed = options.seed;

  const Side base = side_of(options.sides[0]), other = side_of(options.sides[1]);
  std::vector<fs::path> paths{base.run};
  if (other.run != base.run) paths.push_back(other.run);
  const Collection collection = read_collection(paths);
  for (const std::string& warning : collection.warnings) console.warn(warning);

  std::vector<Comparison> comparisons;
  for (const Pair& pair : pairs_of(lineups_of(collection, base, options.task),
                                   lineups_of(collection, other, options.task), options)) {
    for (const std::string& measure : comparable_measures(*pair.base)) {
      Comparison comparison = compare_lineups(collection, *pair.base, *pair.other, measure, paired);
      for (const std::string& sentence : comparison.setting_differences) console.warn(sentence);
      if (pair.base->text) {
        comparison.divergence = known_divergence(collection, *pair.base, *pair.other);
        comparison.agreement = token_agreement(*pair.base, *pair.other);
      }
      comparisons.push_back(std::move(comparison));
    }
  }
  if (comparisons.empty()) throw std::runtime_error("the records hold no measure that can be compared");
  // Several tasks or models at once are a family, too.
  if (comparisons.size() > 1) {
    std::vector<PairedResult> family;
    for (const Comparison& comparison : comparisons) family.push_back(comparison.overall);
    for (std::size_t i = 0; i < family.size(); ++i) {
      // Holm's correction is the same for both directions; the verdict is not.
      PairedOptions oriented = paired;
      oriented.lower_is_better = lower_is_better(comparisons[i].measure).value_or(true);
      std::vector<PairedResult> corrected = family;
      correct_family(corrected, oriented);
      comparisons[i].overall = corrected[i];
    }
  }

  Table table = comparison_table(comparisons);
  if (comparisons.size() == 1) {
    table.notes.push_back(fmt::format("{} against {}: {}, window {}", comparisons[0].other,
                                      comparisons[0].base, comparisons[0].measure, comparisons[0].windowing));
    for (std::string& note : comparison_notes(comparisons[0], paired)) table.notes.push_back(std::move(note));
  } else {
    table.notes.push_back("p of all are corrected for the number of comparisons (Holm)");
  }
  console.show(std::move(table), std::vector<std::string_view>{"p_same_holm", "difference",
                                                               "detectable_percent", "measure", "documents"});

  const auto any = [&](Verdict verdict) {
    return std::any_of(comparisons.begin(), comparisons.end(),
                       [&](const Comparison& comparison) { return comparison.overall.verdict == verdict; });
  };
  const bool failed = (options.fail_if == "worse" && any(Verdict::worse)) ||
                      (options.fail_if == "unclear" && (any(Verdict::worse) || any(Verdict::unclear))) ||
                      (options.fail_if == "different" &&
                       !std::all_of(comparisons.begin(), comparisons.end(), [](const Comparison& comparison) {
                         return comparison.overall.verdict == Verdict::same;
                       }));
  if (failed) console.error(fmt::format("--fail-if {}: it is", options.fail_if));
  return failed ? kRegression : kDone;
}

}  // namespace deciban
