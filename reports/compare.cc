#include "reports/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <unordered_map>

#include "reports/figures.h"
#include "reports/token_file.h"

namespace deciban {
namespace {

constexpr const char* kBits = "bits per byte";

// A document's value under one line-up: measure and weight.
using Values = std::map<std::uint32_t, Measure>;

Values values_of(const LineUp& lineup, const std::string& measure) {
  Values values;
  if (measure == kBits) {
    for (const DocumentScore& score : lineup.scores)
      values[score.document] = {score.bits, static_cast<double>(score.bytes)};
    return values;
  }
  const auto found = lineup.measures.find(measure);
  if (found == lineup.measures.end()) return values;
  for (const auto& [document, value] : found->second) values[document] = value;
  return values;
}

std::vector<std::string> differences(const LineUp& base, const LineUp& other) {
  std::vector<std::string> sentences;
  if (base.windowing != other.windowing) {
    sentences.push_back(fmt::format("windows differ: {} has {}, {} has {}", base.name, base.windowing,
                                    other.name, other.windowing));
  }
  if (!same_start(base, other)) {
    sentences.push_back(fmt::format("start tokens differ: {} has {}, {} has {}", base.name,
                                    base.start.empty() ? "an unknown one" : base.start, other.name,
                                    other.start.empty() ? "an unknown one" : other.start));
  }
  return sentences;
}

double divergence_term(double p, double q) { return p > 0 ? p * std::log(p / std::max(q, 1e-300)) : 0; }

struct AgreementSums {
  std::uint64_t tokens = 0, same = 0, documents = 0;
  CompensatedSum divergence, difference;
  double largest = 0;

  // False if the two do not hold the same tokens.
  bool add(const TokenScores& a, const TokenScores& b) {
    if (a.tokens != b.tokens || a.bytes != b.bytes) return false;
    ++documents;
    for (std::size_t i = 0; i < a.tokens.size(); ++i) {
      if (std::isnan(a.logprob[i]) || std::isnan(b.logprob[i])) continue;
      ++tokens;
      const bool same_best = a.best[i] == b.best[i];
      same += same_best ? 1 : 0;
      const double apart = std::abs(static_cast<double>(a.logprob[i]) - static_cast<double>(b.logprob[i]));
      difference.add(apart);
      largest = std::max(largest, apart);
      double pa = std::exp(static_cast<double>(a.logprob[i])),
             pb = std::exp(static_cast<double>(b.logprob[i]));
      double sum = divergence_term(pa, pb);
      if (same_best && a.best[i] != a.tokens[i]) {
        const double best_a = std::exp(static_cast<double>(a.best_logprob[i])),
                     best_b = std::exp(static_cast<double>(b.best_logprob[i]));
        sum += divergence_term(best_a, best_b);
        pa += best_a;
        pb += best_b;
      }
      // What rounding leaves below 0 is none.
      sum += divergence_term(std::max(0.0, 1 - pa), std::max(0.0, 1 - pb));
      divergence.add(std::max(0.0, sum));
    }
    return true;
  }
};

std::map<ScoreKey, std::uint32_t> keys_of(const LineUp& lineup) {
  std::map<ScoreKey, std::uint32_t> keys;
  for (const DocumentScore& score : lineup.scores) keys.emplace(score.key, score.document);
  return keys;
}

std::string signed_number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:+.{}f}", value, digits) : "–";
}

std::string range(const std::optional<Interval>& interval, double scale, int digits) {
  if (!interval) return "–";
  return fmt::format("{:+.{}f} … {:+.{}f}", scale * interval->low, digits, scale * interval->high, digits);
}

Cell optional_cell(const std::optional<double>& value, std::string text) {
  return value ? Cell{std::move(text), fmt::format("{}", *value)} : Cell{"–", "null"};
}

std::vector<Cell> row_of(const Comparison& comparison, const std::string& source,
                         const PairedResult& result) {
  const bool bits = comparison.measure == kBits;
  const auto number = [](double value, int digits) {
    return std::isfinite(value) ? Cell{fmt::format("{:.{}f}", value, digits), fmt::format("{}", value)}
                                : Cell{"–", "null"};
  };
  const auto end = [](const std::optional<Interval>& interval, bool low) {
    return interval ? Cell{"", fmt::format("{}", low ? interval->low : interval->high)} : Cell{"", "null"};
  };
  const auto count = [](const std::optional<std::uint64_t>& value) {
    return value ? Cell{grouped_digits(*value), std::to_string(*value)} : Cell{"–", "null"};
  };
  return {
      {comparison.other, ""},
      {comparison.base, ""},
      {comparison.task, ""},
      {source, ""},
      {comparison.measure, ""},
      {grouped_digits(result.documents), std::to_string(result.documents)},
      number(result.base, 4),
      number(result.other, 4),
      std::isfinite(result.difference.value)
          ? Cell{signed_number(result.difference.value, 4), fmt::format("{}", result.difference.value)}
          : Cell{"–", "null"},
      end(result.difference.interval, true),
      end(result.difference.interval, false),
      std::isfinite(result.relative.value) ? Cell{signed_number(100 * result.relative.value, 2),
                                                  fmt::format("{}", 100 * result.relative.value)}
                                           : Cell{"–", "null"},
      {range(result.relative.interval, 100, 2), ""},
      optional_cell(result.p, result.p ? p_text(*result.p) : ""),
      optional_cell(result.p_adjusted, result.p_adjusted ? p_text(*result.p_adjusted) : ""),
      optional_cell(result.p_same_adjusted, result.p_same_adjusted ? p_text(*result.p_same_adjusted) : ""),
      {std::string(verdict_word(result.verdict)), ""},
      bits && std::isfinite(result.decibans_per_kb)
          ? Cell{fmt::format("{:+.1f}", result.decibans_per_kb), fmt::format("{}", result.decibans_per_kb)}
          : Cell{"–", "null"},
      result.detectable
          ? Cell{fmt::format("{:.2f}", 100 * *result.detectable), fmt::format("{}", 100 * *result.detectable)}
          : Cell{"–", "null"},
      count(result.documents_for_margin),
      count(result.documents_for_same)};
}

// The exact divergence where a gate kept it, else the bound that token scores give.
std::vector<Cell> divergence_cells(const Comparison& comparison) {
  const auto number = [](double value) {
    return std::isfinite(value) ? Cell{"", fmt::format("{}", value)} : Cell{"", "null"};
  };
  if (comparison.divergence) {
    const KnownDivergence& known = *comparison.divergence;
    return {number(known.kl), {"exact", ""}, number(100 * known.same_best)};
  }
  if (comparison.agreement) {
    const TokenAgreement& agreement = *comparison.agreement;
    return {number(agreement.least_divergence), {"lower bound", ""}, number(100 * agreement.same_best)};
  }
  return {{"", "null"}, {"", ""}, {"", "null"}};
}

std::vector<std::string> divergence_notes(const Comparison& comparison) {
  std::vector<std::string> notes;
  if (comparison.divergence) {
    const KnownDivergence& known = *comparison.divergence;
    std::string note =
        fmt::format("KL({} || {}) is {:.3g} nats a token", comparison.base, comparison.other, known.kl);
    if (known.interval)
      note += fmt::format(" (95 %: {:.3g} … {:.3g})", known.interval->low, known.interval->high);
    if (std::isfinite(known.same_best)) {
      note += fmt::format("; {:.2f} % of {} tokens have the same most probable one", 100 * known.same_best,
                          grouped_digits(known.tokens));
    }
    note += fmt::format("; exact, kept by deciban gate kl on {}", known.when);
    if (!known.same_texts) note += fmt::format(", over {} with window {}", known.texts, known.windowing);
    notes.push_back(note);
    if (known.same_texts) return notes;
  }
  if (comparison.agreement) {
    const TokenAgreement& a = *comparison.agreement;
    notes.push_back(fmt::format(
        "of {} tokens {:.2f} % have the same most probable token; log p differs by {:.3g} nats on average "
        "and "
        "{:.3g} at most; KL divergence at least {:.3g} nats a token (a bound: two probabilities were kept of "
        "each token)",
        grouped_digits(a.tokens), 100 * a.same_best, a.mean_difference, a.largest_difference,
        a.least_divergence));
  }
  if (comparison.same_vocabulary && !comparison.divergence) {
    notes.push_back(
        "their exact KL divergence takes both models: deciban gate kl BASE NEW -c TEXTS --history RUN keeps "
        "it "
        "for this comparison");
  }
  return notes;
}

}  // namespace

std::optional<bool> lower_is_better(std::string_view measure) {
  const auto begins = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return measure.starts_with(word); });
  };
  if (begins({"bits", "nats", "perplexity", "byte_perplexity", "word_perplexity", "own", "nothing", "brier"}))
    return true;
  if (begins({"acc", "exact", "em", "f1", "mcc", "greedy", "told", "tokens_per_second", "bytes_per_second"}))
    return false;
  return std::nullopt;
}

std::vector<std::string> comparable_measures(const LineUp& lineup) {
  if (lineup.text) return {kBits};
  std::vector<std::string> names;
  for (const auto& [name, values] : lineup.measures) {
    if (lower_is_better(name)) names.push_back(name);
  }
  return names;
}

Comparison compare_lineups(const Collection& collection, const LineUp& base, const LineUp& other,
                           const std::string& measure, const PairedOptions& options) {
  Comparison comparison;
  comparison.base = base.name;
  comparison.other = other.name;
  comparison.task = base.task;
  comparison.measure = measure;
  comparison.windowing = base.windowing;
  comparison.setting_differences = differences(base, other);
  comparison.same_vocabulary = !base.compressor && !base.model.tokenizer_digest.empty() &&
                               base.model.tokenizer_digest == other.model.tokenizer_digest;
  const Values left = values_of(base, measure), right = values_of(other, measure);
  std::map<std::uint32_t, std::vector<PairedTerm>> by_corpus;
  for (const auto& [document, value] : left) {
    const auto found = right.find(document);
    if (found == right.end()) {
      ++comparison.only_base;
      continue;
    }
    by_corpus[collection.documents[document].corpus].push_back({value.sum, found->second.sum, value.weight});
  }
  std::vector<std::vector<PairedTerm>> corpora;
  std::vector<std::string> names;
  std::size_t common = 0;
  for (auto& [corpus, terms] : by_corpus) {
    common += terms.size();
    names.push_back(collection.corpora[corpus].name);
    corpora.push_back(std::move(terms));
  }
  comparison.only_other = right.size() - common;
  if (common == 0) {
    throw std::runtime_error(fmt::format(
        "{} and {} have no document of task {} in common (a corpus counts as the same only if its digest "
        "is the same)",
        base.name, other.name, base.task));
  }
  PairedOptions oriented = options;
  oriented.lower_is_better = lower_is_better(measure).value_or(true);
  comparison.overall = compare_pairs(corpora, oriented);
  if (corpora.size() > 1) {
    std::vector<PairedResult> family;
    for (const auto& terms : corpora) family.push_back(compare_pairs({&terms, 1}, oriented));
    correct_family(family, oriented);
    for (std::size_t i = 0; i < family.size(); ++i) comparison.sources.push_back({names[i], family[i]});
  }
  return comparison;
}

std::optional<KnownDivergence> known_divergence(const Collection& collection, const LineUp& base,
                                                const LineUp& other) {
  const auto side = [](const LineUp& lineup) {
    GateSide result;
    result.digest = lineup.model.digest;
    result.mode = lineup.model.mode.empty() ? lineup.mode : lineup.model.mode;
    return result;
  };
  const GateRun* run = divergence_between(collection.gates, side(base), side(other));
  if (!run) return std::nullopt;
  const CostValue& kl = run->figures.at("kl_nats");
  KnownDivergence known;
  known.kl = kl.value;
  if (kl.low < kl.high) known.interval = Interval{kl.low, kl.high};
  const auto same = run->figures.find("same_best_percent");
  known.same_best =
      same == run->figures.end() ? std::numeric_limits<double>::quiet_NaN() : same->second.value / 100;
  known.tokens = kl.samples;
  known.when = run->when.substr(0, 10);
  known.windowing = run->windowing;
  // Whole corpora: as many documents as the comparison has of each, and no corpus more or less.
  std::map<std::string, std::uint64_t> ours, theirs;
  for (const DocumentScore& score : base.scores)
    ++ours[collection.corpora[collection.documents[score.document].corpus].digest];
  for (const GateText& text : run->texts) {
    known.texts += (known.texts.empty() ? "" : ", ") + text.name;
    theirs[text.digest] += text.documents;
  }
  known.same_texts = ours == theirs && run->windowing == base.windowing;
  return known;
}

std::optional<TokenAgreement> token_agreement(const LineUp& base, const LineUp& other) {
  const std::map<ScoreKey, std::uint32_t> base_keys = keys_of(base), other_keys = keys_of(other);
  std::unordered_map<std::uint32_t, TokenScores> kept;
  const auto wanted_of = [](const std::map<ScoreKey, std::uint32_t>& keys) {
    return [&keys](const ScoreKey& key) { return keys.contains(key); };
  };
  for (const std::string& run : base.runs) {
    for (const auto& file : token_files(run)) {
      read_token_file(file, wanted_of(base_keys), [&](const ScoreKey& key, TokenScores&& scores) {
        kept.insert_or_assign(base_keys.at(key), std::move(scores));
      });
    }
  }
  if (kept.empty()) return std::nullopt;
  AgreementSums sums;
  bool same_tokens = true;
  for (const std::string& run : other.runs) {
    for (const auto& file : token_files(run)) {
      read_token_file(file, wanted_of(other_keys), [&](const ScoreKey& key, TokenScores&& scores) {
        const auto found = kept.find(other_keys.at(key));
        if (found == kept.end()) return;
        same_tokens = same_tokens && sums.add(found->second, scores);
        kept.erase(found);
      });
    }
  }
  if (!same_tokens || sums.tokens == 0) return std::nullopt;
  const double tokens = static_cast<double>(sums.tokens);
  return TokenAgreement{sums.tokens,
                        sums.documents,
                        static_cast<double>(sums.same) / tokens,
                        sums.divergence.value() / tokens,
                        sums.difference.value() / tokens,
                        sums.largest};
}

Table comparison_table(std::span<const Comparison> comparisons) {
  Table table;
  table.columns = {{"model", "model", false, false},
                   {"against", "base", false, false},
                   {"task", "task", false, false},
                   {"source", "source", false, false},
                   {"measure", "measure", false, false},
                   {"docs", "documents"},
                   {"base", "base_value"},
                   {"new", "other_value"},
                   {"diff", "difference"},
                   {"low", "difference_low", true, true},
                   {"high", "difference_high", true, true},
                   {"diff %", "difference_percent"},
                   {"95 %", "interval_95_percent"},
                   {"p", "p", true, true},
                   {"p", "p_holm"},
                   {"p same", "p_same_holm"},
                   {"verdict", "verdict", false, false},
                   {"dB/kB", "decibans_per_kb", true, true},
                   {"shows %", "detectable_percent", true, false},
                   {"docs for margin", "documents_for_margin", true, true},
                   {"docs for same", "documents_for_same", true, true},
                   {"KL", "kl_nats", true, true},
                   {"KL is", "kl_is", false, true},
                   {"same best %", "same_best_percent", true, true}};
  for (const Comparison& comparison : comparisons) {
    const bool sources = !comparison.sources.empty();
    table.rows.push_back(row_of(comparison, sources ? "all" : "", comparison.overall));
    for (Cell& cell : divergence_cells(comparison)) table.rows.back().push_back(std::move(cell));
    for (const SourceComparison& source : comparison.sources) {
      table.rows.push_back(row_of(comparison, source.name, source.result));
      table.rows.back().insert(table.rows.back().end(), {{"", "null"}, {"", ""}, {"", "null"}});
    }
  }
  // Columns that say the same in every row are for machines.
  for (const std::size_t c : {0u, 1u, 2u, 3u, 4u}) {
    table.columns[c].machine_only = std::all_of(table.rows.begin(), table.rows.end(), [&](const auto& cells) {
      return cells[c].text == table.rows.front()[c].text;
    });
  }
  return table;
}

std::vector<std::string> comparison_notes(const Comparison& comparison, const PairedOptions& options) {
  std::vector<std::string> notes;
  const PairedResult& result = comparison.overall;
  const std::string margin = fmt::format("{:g} %", 100 * options.same_within);
  const std::string_view verdict = verdict_word(result.verdict);
  if (!result.p) {
    notes.push_back(fmt::format("{}: fewer than {} documents in a corpus; nothing is tested", verdict,
                                kMinDocumentsForInterval));
  } else if (result.verdict == Verdict::same) {
    notes.push_back(fmt::format("{} is the same as {} within {}{}", comparison.other, comparison.base, margin,
                                result.differs ? ", though a difference smaller than that is clear" : ""));
  } else if (result.verdict == Verdict::unclear) {
    notes.push_back(fmt::format(
        "unclear: neither a difference nor sameness within {} is shown by these documents", margin));
  } else {
    notes.push_back(fmt::format("{} is {} than {} by {:.2f} %", comparison.other, verdict, comparison.base,
                                100 * std::abs(result.relative.value)));
  }
  if (result.detectable) {
    std::string note = fmt::format("{} documents show a true difference of {:.2f} % four times in five",
                                   grouped_digits(result.documents), 100 * *result.detectable);
    if (result.documents_for_margin && result.documents_for_same) {
      note += fmt::format("; one of {} takes {} documents, sameness within it {}", margin,
                          grouped_digits(*result.documents_for_margin),
                          grouped_digits(*result.documents_for_same));
    }
    notes.push_back(note);
  }
  if (result.verdict == Verdict::unclear && result.p) {
    notes.push_back(
        "decide on the number of documents beforehand: adding some until a test succeeds makes it succeed by "
        "chance");
  }
  if (comparison.only_base + comparison.only_other > 0) {
    notes.push_back(fmt::format("documents of one side only, left out: {} of {}, {} of {}",
                                grouped_digits(comparison.only_base), comparison.base,
                                grouped_digits(comparison.only_other), comparison.other));
  }
  if (comparison.measure == kBits && std::isfinite(result.decibans_per_kb)) {
    notes.push_back(fmt::format(
        "evidence that {} rather than {} wrote these texts: {:+.1f} decibans per 1000 bytes (a description, "
        "never the verdict)",
        comparison.other, comparison.base, result.decibans_per_kb));
  }
  if (!comparison.sources.empty())
    notes.push_back("p of the sources are corrected for their number (Holm); that of all is not");
  for (std::string& note : divergence_notes(comparison)) notes.push_back(std::move(note));
  return notes;
}

}  // namespace deciban
