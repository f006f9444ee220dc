#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "bench/gate_divergence.h"
#include "cli/gate_models.h"
#include "cli/interrupt.h"
#include "datasets/corpus.h"
#include "evals/start_token.h"
#include "evals/window.h"
#include "reports/order_statistics.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

using Outcome = GateCheck::Outcome;

// What was found, of all documents together.
struct Totals {
  std::vector<double> kl;            // of each token
  std::vector<RatioTerm> documents;  // Σ KL over tokens
  std::vector<RatioTerm> paired;     // the other's bits less the reference's over bytes; documents with text
  std::size_t agreements = 0, bytes = 0;
  double regret = 0, reference_nats = 0, other_nats = 0;
};

void add_document(Totals& totals, LanguageModel& reference, LanguageModel& other, const Document& document,
                  const Windowing& windowing, std::optional<Token> start) {
  const Windows windows = document.text.empty() ? cut_tokens(reference, windowing, start, document.tokens)
                                                : cut(reference, windowing, start, "", document.text);
  RatioTerm term, paired;
  for (const Window& window : windows.windows) {
    if (window.tokens.size() <= window.first) continue;
    const Divergence d = compare_rows(reference, other, {window.tokens, window.first, 0});
    for (const float kl : d.kl) {
      if (!std::isfinite(kl))
        throw std::runtime_error(fmt::format("document '{}': a divergence of {}", document.id, kl));
      totals.kl.push_back(kl);
      term.numerator += kl;
    }
    term.denominator += static_cast<double>(d.kl.size());
    totals.agreements += d.agreements;
    totals.regret = std::max(totals.regret, d.largest_regret);
    totals.reference_nats += d.reference_nats;
    totals.other_nats += d.other_nats;
    paired.numerator += (d.other_nats - d.reference_nats) / std::log(2.0);
  }
  paired.denominator = static_cast<double>(document.text.size());
  if (!document.text.empty()) totals.paired.push_back(paired);
  totals.documents.push_back(term);
  totals.bytes += document.text.size();
}

std::string nats(double value) { return fmt::format("{:.3g}", value); }

Table kl_table(const Totals& totals, const Estimate& mean, const std::string& reference,
               const std::string& other) {
  Table table;
  table.columns = {{"what", "what", false, false}, {"value", "value"}, {"unit", "unit", false, false}};
  const auto row = [&](const std::string& what, double value, const std::string& shown,
                       const std::string& unit) {
    table.rows.push_back({{what, ""}, {shown, fmt::format("{}", value)}, {unit, ""}});
  };
  const double tokens = static_cast<double>(totals.kl.size());
  row("tokens", tokens, fmt::format("{}", totals.kl.size()), "");
  row("KL mean", mean.value, nats(mean.value), "nats");
  if (mean.interval) {
    row("KL mean, 95 % low", mean.interval->low, nats(mean.interval->low), "nats");
    row("KL mean, 95 % high", mean.interval->high, nats(mean.interval->high), "nats");
  }
  for (const double p : {0.5, 0.99, 0.999}) {
    const double q = quantile_of(totals.kl, p);
    row(p == 0.5 ? "KL median" : fmt::format("KL p{}", 100 * p), q, nats(q), "nats");
  }
  const double most = *std::max_element(totals.kl.begin(), totals.kl.end());
  row("KL max", most, nats(most), "nats");
  const double agreement = 100 * static_cast<double>(totals.agreements) / tokens;
  row("same best token", agreement, fmt::format("{:.3f}", agreement), "%");
  row("largest argmax regret", totals.regret, nats(totals.regret), "nats");
  if (totals.bytes > 0) {
    const double scale = 1 / std::log(2.0) / static_cast<double>(totals.bytes);
    row("reference", totals.reference_nats * scale, fmt::format("{:.6f}", totals.reference_nats * scale),
        "bits/byte");
    row("other", totals.other_nats * scale, fmt::format("{:.6f}", totals.other_nats * scale), "bits/byte");
    const Estimate paired = ratio_estimate(totals.paired);
    const auto signed_row = [&](const std::string& what, double value) {
      row(what, value, fmt::format("{:+.3g}", value), "bits/byte");
    };
    signed_row("other - reference", paired.value);
    if (paired.interval) {
      signed_row("other - reference, 95 % low", paired.interval->low);
      signed_row("other - reference, 95 % high", paired.interval->high);
    }
  }
  table.notes = {
      fmt::format("KL(reference || other) of each scored token; reference: {}, other: {}", reference, other)};
  return table;
}

std::vector<GateCheck> checks_of(const GateKlOptions& options, const Totals& totals, const Estimate& mean) {
  std::vector<GateCheck> checks;
  if (options.max_mean > 0) {
    const bool sure = !mean.interval || mean.interval->low > options.max_mean;
    checks.push_back(
        {"divergence", "KL mean",
         mean.value <= options.max_mean ? Outcome::passed
         : sure                         ? Outcome::failed
                                        : Outcome::unclear,
         fmt::format("{} nats a token, at most {} allowed", nats(mean.value), options.max_mean)});
  }
  if (options.max_p99 > 0) {
    const double p99 = quantile_of(totals.kl, 0.99);
    checks.push_back({"divergence", "KL p99", p99 <= options.max_p99 ? Outcome::passed : Outcome::failed,
                      fmt::format("{} nats, at most {} allowed", nats(p99), options.max_p99)});
  }
  if (options.min_agreement > 0) {
    const double share = 100 * static_cast<double>(totals.agreements) / static_cast<double>(totals.kl.size());
    checks.push_back({"divergence", "same best token",
                      share >= options.min_agreement ? Outcome::passed : Outcome::failed,
                      fmt::format("{:.3f} %, at least {} % wanted", share, options.min_agreement)});
  }
  return checks;
}

std::map<std::string, CostValue> figures_of(const Totals& totals, const Estimate& mean) {
  const std::size_t tokens = totals.kl.size();
  const auto counted = [&](double value) { return CostValue{value, value, value, tokens}; };
  const Interval interval = mean.interval.value_or(Interval{mean.value, mean.value});
  return {{"kl_nats", {mean.value, interval.low, interval.high, tokens}},
          {"kl_p99_nats", counted(quantile_of(totals.kl, 0.99))},
          {"kl_max_nats", counted(*std::max_element(totals.kl.begin(), totals.kl.end()))},
          {"same_best_percent",
           counted(100 * static_cast<double>(totals.agreements) / static_cast<double>(tokens))}};
}

GateSide side_of(const ModelInfo& info) {
  GateSide side;
  side.name = info.name;
  side.digest = info.digest;
  side.mode = info.format;
  side.device = info.device;
  return side;
}

std::string label(const ModelInfo& info) {
  return fmt::format("{} {} ({})", info.name, info.format, info.kernels);
}

}  // namespace

int gate_kl(const GateKlOptions& options, const Console& console) {
  if (options.reference.empty())
    throw std::invalid_argument("which models? REF, and OTHER or --mode for the same one");
  if (options.corpora.empty()) throw std::invalid_argument("on which texts? name a corpus with -c");
  const std::string other_spec = options.other.empty() ? options.reference : options.other;
  if (options.other.empty() && options.mode == "auto")
    throw std::invalid_argument("one model against itself: name another mode with --mode, for example int8");
  check_output_options(options.output);
  const Windowing windowing = Windowing::parse(options.window);
  const StartPolicy start = StartPolicy::parse(options.start);
  catch_interrupts();

  ModelOptions first;
  first.device = options.reference_device;
  first.format = options.reference_mode;
  first.tokenizer = options.tokenizer;
  first.threads = options.threads;
  ModelOptions second = first;
  second.device = options.device;
  second.format = options.mode;
  const auto reference = open_model(options.reference, first), other = open_model(other_spec, second);
  if (reference->info().tokenizer_digest != other->info().tokenizer_digest)
    throw std::invalid_argument(fmt::format("the models read different tokens ({} and {}): KL needs the same",
                                            reference->info().tokenizer, other->info().tokenizer));
  GateRun run;
  run.kind = "divergence";
  run.base = side_of(reference->info());
  run.other = side_of(other->info());
  run.windowing = windowing.name();
  run.start = options.start;
  Totals totals;
  const std::optional<Token> token = start.resolve(reference->info());
  for (const std::string& path : options.corpora) {
    const Corpus corpus = read_corpus(path);
    const std::size_t wanted =
        options.limit == 0 ? corpus.documents.size() : std::min(options.limit, corpus.documents.size());
    for (std::size_t i = 0; i < wanted && !interrupted(); ++i) {
      const Document& document = corpus.documents[i];
      if (!document.error.empty()) {
        console.warn(fmt::format("{} '{}': {}", corpus.name, document.id, document.error));
        continue;
      }
      add_document(totals, *reference, *other, document, windowing, token);
      console.detail(fmt::format("{} {} of {}", corpus.name, i + 1, wanted));
    }
    run.texts.push_back({corpus.name, corpus.digest, wanted});
  }
  if (totals.kl.empty()) {
    if (interrupted()) return kInterrupted;
    throw std::runtime_error("no token was scored");
  }
  const Estimate mean = ratio_estimate(totals.documents);
  run.figures = figures_of(totals, mean);
  const Table table = kl_table(totals, mean, label(reference->info()), label(other->info()));
  const std::vector<GateCheck> checks = checks_of(options, totals, mean);
  if (interrupted()) {
    console.show(table);
    console.note("interrupted: the figures are of the documents until then");
    return kInterrupted;
  }
  return finish_gate(checks, {table}, "divergence", std::move(run), options.output, console);
}

}  // namespace deciban
