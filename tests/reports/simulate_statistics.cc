// Simulates what docs/statistics.md promises: coverage of intervals, false positives of the paired test,
// family error after Holm's correction, size of the equivalence test, and simultaneous coverage of all
// differences between models.
//
//   deciban_simulate_statistics TRIALS RESAMPLES [RUN BASE OTHER] [REFERENCE_BASE.json REFERENCE_OTHER.json]
//                               [ties]
//
// The last word leaves out all but the simultaneous coverage.
//
// Populations are fixed and their truth known exactly: documents of a run under two of its models, the
// categories of two published results, and lognormal ones.  Documents are drawn from them with replacement.

#include <fmt/format.h>

#include <atomic>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "reports/paired.h"
#include "reports/panel.h"
#include "reports/random.h"
#include "reports/record.h"

namespace deciban {
namespace {

struct Population {
  std::string name;
  std::vector<PairedTerm> documents;  // bits under base and other, bytes
};

double normal(Random& random) {
  return boost::math::quantile(boost::math::normal(), random.unit() + 0x1p-54);
}

// A million documents would do no better: what counts is that the population's own ratio is the truth.
Population lognormal(double sigma_length, const std::string& name) {
  Population population{name, {}};
  Random random(11);
  for (int i = 0; i < 20000; ++i) {
    const double bytes = 1000 * std::exp(sigma_length * normal(random)), rate = std::exp(normal(random));
    population.documents.push_back({bytes * rate, bytes * rate * std::exp(0.05 * normal(random)), bytes});
  }
  return population;
}

Population of_run(const std::string& run, const std::string& base, const std::string& other) {
  Population population{fmt::format("{} against {}, documents of a run", other, base), {}};
  std::map<std::string, PairedTerm> documents;
  for (const Record& record : read_records({run})) {
    if (record.status != "ok" || (record.model != base && record.model != other)) continue;
    PairedTerm& term = documents[record.corpus + "\n" + record.document];
    (record.model == base ? term.base : term.other) = -record.logprob / std::log(2.0);
    term.weight = static_cast<double>(record.bytes);
  }
  for (const auto& [id, term] : documents) {
    if (term.base > 0 && term.other > 0) population.documents.push_back(term);
  }
  return population;
}

Population of_reference(const std::string& base, const std::string& other) {
  Population population{"categories of published results", {}};
  const auto read = [](const std::string& path) {
    std::ifstream file(path);
    return nlohmann::json::parse(file).at("datasets");
  };
  const nlohmann::json a = read(base), b = read(other);
  for (const auto& [category, value] : a.items()) {
    population.documents.push_back({value.at("neg_log_prob_sum").get<double>() / std::log(2.0),
                                    b.at(category).at("neg_log_prob_sum").get<double>() / std::log(2.0),
                                    value.at("avg bytes").get<double>()});
  }
  return population;
}

// The other model moved so that its true relative difference is `share` of the base's bits.
Population moved(Population population, double share) {
  double base = 0, more = 0, weight = 0;
  for (const PairedTerm& term : population.documents) {
    base += term.base, more += term.other - term.base, weight += term.weight;
  }
  // By bytes, so that single differences keep their spread and bits per byte differ by exactly as much.
  for (PairedTerm& term : population.documents) term.other += (share * base - more) / weight * term.weight;
  return population;
}

std::vector<PairedTerm> drawn(const Population& population, std::size_t count, Random& random) {
  std::vector<PairedTerm> documents;
  for (std::size_t i = 0; i < count; ++i)
    documents.push_back(
        population.documents[random.below(static_cast<std::uint32_t>(population.documents.size()))]);
  return documents;
}

// Share of trials in which `happens`, in per cent.
double share(int trials, const std::function<bool(Random&)>& happens) {
  std::atomic<int> next = 0, count = 0;
  const auto work = [&] {
    for (int trial = next++; trial < trials; trial = next++) {
      Random random(977 + static_cast<std::uint64_t>(trial));
      if (happens(random)) ++count;
    }
  };
  {
    std::vector<std::jthread> team;
    for (unsigned i = 1; i < std::max(1u, std::thread::hardware_concurrency()); ++i) team.emplace_back(work);
    work();
  }
  return 100.0 * count / trials;
}

class Simulation {
 public:
  Simulation(int trials, int resamples) : trials_(trials) { options_.resamples = resamples; }

  void intervals(const Population& population) const {
    double bits = 0, bytes = 0;
    for (const PairedTerm& term : population.documents) bits += term.base, bytes += term.weight;
    for (const std::size_t count : {30u, 200u, 500u}) {
      report("interval", population, count, share(trials_, [&](Random& random) {
               std::vector<RatioTerm> terms;
               for (const PairedTerm& term : drawn(population, count, random))
                 terms.push_back({term.base, term.weight});
               const auto interval = ratio_estimate(terms, 0.95, random.next(), options_.resamples).interval;
               return interval && interval->low <= bits / bytes && bits / bytes <= interval->high;
             }));
    }
  }

  void paired(const Population& population) const {
    const Population same = moved(population, 0), margin = moved(population, options_.same_within);
    for (const std::size_t count : {30u, 200u}) {
      report("difference interval", population, count, share(trials_, [&](Random& random) {
               const auto interval = one(same, count, random).difference.interval;
               return interval && interval->low <= 0 && 0 <= interval->high;
             }));
      report("false positives", population, count,
             share(trials_, [&](Random& random) { return *one(same, count, random).p < options_.level; }));
      report("called the same at the margin", population, count, share(trials_, [&](Random& random) {
               return *one(margin, count, random).p_same < options_.level;
             }));
      report("any of 5 sources, Holm", population, count, share(trials_, [&](Random& random) {
               std::vector<PairedResult> family;
               for (int s = 0; s < 5; ++s) family.push_back(one(same, count, random));
               correct_family(family, options_);
               return std::any_of(family.begin(), family.end(),
                                  [](const PairedResult& r) { return r.differs; });
             }));
    }
  }

  // Five models of one true rate, each document under each with its own noise: no pair may be told apart.
  // `skewed`: the noise is lognormal, and larger from model to model, so that differences are skewed, too.
  void panel(const Population& population, std::size_t count, bool skewed) const {
    const double mean = std::exp(0.5), deviation = mean * std::sqrt(std::exp(1.0) - 1);
    const char* what = skewed ? "all differences of 5 models, skewed" : "all differences of 5 models";
    report(what, population, count, share(trials_, [&](Random& random) {
             Panel panel;
             panel.source_begin = {0, count};
             panel.bits.assign(5, std::vector<double>(count));
             const std::vector<PairedTerm> documents = drawn(population, count, random);
             for (std::size_t d = 0; d < count; ++d) {
               panel.bytes.push_back(documents[d].weight);
               for (std::size_t m = 0; m < panel.bits.size(); ++m) {
                 const double noise =
                     skewed ? 0.02 * static_cast<double>(m) * (std::exp(normal(random)) - mean) / deviation
                            : 0.03 * normal(random);
                 panel.bits[m][d] = documents[d].base * (1 + noise);
               }
             }
             const PanelFigures figures = panel_figures(panel, random.next(), options_.resamples / 2);
             for (std::size_t a = 0; a < 5; ++a) {
               for (std::size_t b = 0; b < a; ++b) {
                 const Interval interval = *figures.difference(a, b);
                 if (interval.low > 0 || interval.high < 0) return false;
               }
             }
             return true;
           }));
  }

 private:
  PairedResult one(const Population& population, std::size_t count, Random& random) const {
    const std::vector<PairedTerm> documents = drawn(population, count, random);
    PairedOptions options = options_;
    options.seed = random.next();
    return compare_pairs({&documents, 1}, options);
  }
  static void report(const char* what, const Population& population, std::size_t count, double percent) {
    std::printf("| %s | %s | %zu | %.2f |\n", what, population.name.c_str(), count, percent);
    std::fflush(stdout);
  }

  int trials_;
  PairedOptions options_;
};

int simulate(std::vector<std::string> words) {
  const bool only_ties = words.back() == "ties";
  if (only_ties) words.pop_back();
  if (words.size() != 3 && words.size() != 6 && words.size() != 8) {
    std::fputs(
        "usage: deciban_simulate_statistics TRIALS RESAMPLES [RUN BASE OTHER [REFERENCE.json "
        "REFERENCE.json]] [ties]\n",
        stderr);
    return 2;
  }
  const Simulation simulation(std::stoi(words[1]), std::stoi(words[2]));
  std::vector<Population> populations{lognormal(0, "lognormal, σ = 1, equal lengths"),
                                      lognormal(0.5, "lognormal, σ = 1, lengths σ = 0.5")};
  if (words.size() >= 6) populations.push_back(of_run(words[3], words[4], words[5]));
  if (words.size() == 8) populations.push_back(of_reference(words[6], words[7]));
  std::puts("| what | population | documents | % |\n|---|---|---|---|");
  for (const Population& population : populations) {
    if (!only_ties) simulation.intervals(population);
  }
  for (const Population& population : populations) {
    if (!only_ties) simulation.paired(population);
  }
  for (const std::size_t count : {30u, 200u}) {
    for (const bool skewed : {false, true}) {
      for (const Population& population : populations) simulation.panel(population, count, skewed);
    }
  }
  return 0;
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) { return deciban::simulate({argv, argv + argc}); }
