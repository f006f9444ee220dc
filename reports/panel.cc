#include "reports/panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "reports/order_statistics.h"
#include "reports/random.h"
#include "reports/simultaneous.h"

namespace deciban {
namespace {

constexpr std::size_t kMostTieGroups = 52;  // more letters would tell nobody anything
constexpr double kPanelConfidence = 0.95;
constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kBlock = 4;  // resamples that share one pass over a model's bits

double ratio(double a, double b) { return b > 0 ? a / b : kNotANumber; }

// Sums over one source of one resample, residuals taken about the model's pooled ratio.
struct Sums {
  double residual = 0, squares = 0, product = 0;
  // Variance of the sum of residuals about `shift` more, of n documents.
  double variance(double shift, double bytes, double bytes2, double n) const {
    const double sum = residual - shift * bytes;
    return std::max(0.0,
                    n / (n - 1) * (squares - 2 * shift * product + shift * shift * bytes2 - sum * sum / n));
  }
};

// How often each document was drawn, of kBlock resamples side by side, and the bytes drawn of each source.
struct Drawn {
  std::vector<double> times;           // [document][kBlock]
  std::vector<double> bytes, squares;  // [source][kBlock]
};

Drawn draw(const Panel& panel, Random& random, std::size_t count) {
  Drawn drawn;
  drawn.times.assign(panel.documents() * kBlock, 0);
  drawn.bytes.assign(panel.sources() * kBlock, 0);
  drawn.squares.assign(panel.sources() * kBlock, 0);
  for (std::size_t b = 0; b < count; ++b) {
    for (std::size_t s = 0; s < panel.sources(); ++s) {
      const std::size_t begin = panel.source_begin[s];
      const auto n = static_cast<std::uint32_t>(panel.source_begin[s + 1] - begin);
      for (std::uint32_t i = 0; i < n; ++i) {
        const std::size_t document = begin + random.below(n);
        drawn.times[document * kBlock + b] += 1;
        drawn.bytes[s * kBlock + b] += panel.bytes[document];
        drawn.squares[s * kBlock + b] += panel.bytes[document] * panel.bytes[document];
      }
    }
  }
  return drawn;
}

// The resampled scores (shift over its own standard error) of everything estimated of one model.
struct ModelDraws {
  std::vector<double> pooled, macro;
  std::vector<std::vector<double>> sources;
};

// One model's residuals and point estimates.
struct ModelState {
  std::vector<double> residual;  // by document
  double centre = 0;
  std::vector<double> source_centre;
  double pooled_error = 0, macro_error = 0;
  std::vector<double> source_error;
};

class Resampler {
 public:
  Resampler(const Panel& panel, std::uint64_t seed, int resamples)
      : panel_(panel), seed_(seed), resamples_(static_cast<std::size_t>(resamples)) {
    total_ = std::accumulate(panel.bytes.begin(), panel.bytes.end(), 0.0);
    source_bytes_.assign(panel.sources(), 0);
    source_squares_.assign(panel.sources(), 0);
    for (std::size_t s = 0; s < panel.sources(); ++s) {
      for (std::size_t d = panel.source_begin[s]; d < panel.source_begin[s + 1]; ++d) {
        source_bytes_[s] += panel.bytes[d];
        source_squares_[s] += panel.bytes[d] * panel.bytes[d];
      }
    }
    for (std::size_t m = 0; m < panel.models(); ++m) states_.push_back(state_of(m));
  }

  const std::vector<ModelState>& states() const { return states_; }
  double count(std::size_t source) const {
    return static_cast<double>(panel_.source_begin[source + 1] - panel_.source_begin[source]);
  }

  std::vector<ModelDraws> run() const {
    std::vector<ModelDraws> draws(panel_.models());
    for (ModelDraws& model : draws) {
      model.pooled.resize(resamples_);
      model.macro.resize(resamples_);
      model.sources.assign(panel_.sources(), std::vector<double>(resamples_));
    }
    const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
    std::vector<std::jthread> team;
    const auto work = [&](std::size_t first) {
      for (std::size_t block = first; block * kBlock < resamples_; block += threads) {
        // A seed of its own for each block: the same numbers whatever the number of threads.
        Random random(seed_ * 0x9e3779b97f4a7c15 + block);
        const std::size_t begin = block * kBlock, width = std::min(kBlock, resamples_ - begin);
        const Drawn drawn = draw(panel_, random, width);
        for (std::size_t m = 0; m < draws.size(); ++m) score(m, drawn, begin, width, draws[m]);
      }
    };
    for (std::size_t t = 1; t < threads; ++t) team.emplace_back(work, t);
    work(0);
    return draws;
  }

 private:
  ModelState state_of(std::size_t m) const {
    const std::vector<double>& bits = panel_.bits[m];
    ModelState state;
    CompensatedSum sum;
    for (const double value : bits) sum.add(value);
    state.centre = ratio(sum.value(), total_);
    state.residual.resize(bits.size());
    for (std::size_t d = 0; d < bits.size(); ++d)
      state.residual[d] = bits[d] - state.centre * panel_.bytes[d];
    double pooled = 0, macro = 0;
    for (std::size_t s = 0; s < panel_.sources(); ++s) {
      Sums sums;
      for (std::size_t d = panel_.source_begin[s]; d < panel_.source_begin[s + 1]; ++d) {
        const double r = state.residual[d];
        sums.residual += r;
        sums.squares += r * r;
        sums.product += r * panel_.bytes[d];
      }
      const double shift = sums.residual / source_bytes_[s];
      const double own = sums.variance(shift, source_bytes_[s], source_squares_[s], count(s));
      state.source_centre.push_back(state.centre + shift);
      state.source_error.push_back(std::sqrt(own) / source_bytes_[s]);
      pooled += sums.variance(0, source_bytes_[s], source_squares_[s], count(s));
      macro += own / (source_bytes_[s] * source_bytes_[s]);
    }
    state.pooled_error = std::sqrt(pooled) / total_;
    state.macro_error = std::sqrt(macro) / static_cast<double>(panel_.sources());
    return state;
  }

  void score(std::size_t m, const Drawn& drawn, std::size_t begin, std::size_t width,
             ModelDraws& draws) const {
    const ModelState& state = states_[m];
    const std::size_t sources = panel_.sources();
    std::vector<Sums> sums(sources * kBlock);
    for (std::size_t s = 0; s < sources; ++s) {
      double residual[kBlock] = {}, squares[kBlock] = {}, product[kBlock] = {};
      for (std::size_t d = panel_.source_begin[s]; d < panel_.source_begin[s + 1]; ++d) {
        const double r = state.residual[d], r2 = r * r, rb = r * panel_.bytes[d];
        for (std::size_t b = 0; b < kBlock; ++b) {
          const double times = drawn.times[d * kBlock + b];
          residual[b] += times * r;
          squares[b] += times * r2;
          product[b] += times * rb;
        }
      }
      for (std::size_t b = 0; b < width; ++b) sums[s * kBlock + b] = {residual[b], squares[b], product[b]};
    }
    for (std::size_t b = 0; b < width; ++b) {
      double bytes = 0, residual = 0;
      for (std::size_t s = 0; s < sources; ++s) {
        bytes += drawn.bytes[s * kBlock + b];
        residual += sums[s * kBlock + b].residual;
      }
      const double shift = residual / bytes;
      double variance = 0, macro_shift = 0, macro_variance = 0;
      for (std::size_t s = 0; s < sources; ++s) {
        const Sums& sum = sums[s * kBlock + b];
        const double own = drawn.bytes[s * kBlock + b], own2 = drawn.squares[s * kBlock + b], n = count(s);
        variance += sum.variance(shift, own, own2, n);
        const double source_shift = sum.residual / own;
        const double source_variance = sum.variance(source_shift, own, own2, n) / (own * own);
        const double moved = state.centre + source_shift - state.source_centre[s];
        draws.sources[s][begin + b] = studentized(moved, std::sqrt(source_variance));
        macro_shift += moved;
        macro_variance += source_variance;
      }
      draws.pooled[begin + b] = studentized(shift, std::sqrt(variance) / bytes);
      draws.macro[begin + b] = studentized(macro_shift, std::sqrt(macro_variance));
    }
  }

  static double studentized(double shift, double error) { return shift == 0 ? 0 : shift / error; }

  const Panel& panel_;
  std::uint64_t seed_;
  std::size_t resamples_;
  double total_ = 0;
  std::vector<double> source_bytes_, source_squares_;
  std::vector<ModelState> states_;
};

double widened(double tail, double documents, double freedom) {
  const boost::math::students_t student(freedom);
  return boost::math::cdf(
      boost::math::normal(),
      -std::sqrt(documents / freedom) * boost::math::quantile(boost::math::complement(student, tail)));
}

Estimate estimate_of(double value, double error, std::vector<double> scores, double documents,
                     double strata) {
  Estimate estimate{value, std::nullopt, static_cast<std::size_t>(documents)};
  std::erase_if(scores, [](double score) { return std::isnan(score); });
  if (scores.empty()) return estimate;
  std::sort(scores.begin(), scores.end());
  const double tail = widened((1 - kPanelConfidence) / 2, documents, documents - strata);
  const Interval interval{value - resampled_quantile(scores, 1 - tail) * error,
                          value - resampled_quantile(scores, tail) * error};
  if (std::isfinite(interval.low) && std::isfinite(interval.high)) estimate.interval = interval;
  return estimate;
}

void rank(PanelFigures& figures) {
  const std::size_t count = figures.models.size();
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return figures.models[a].pooled.value < figures.models[b].pooled.value;
  });
  std::vector<std::vector<bool>> apart(count, std::vector<bool>(count, false));
  for (std::size_t i = 0; i < count; ++i) {
    ModelFigures& model = figures.models[order[i]];
    std::size_t better = 0, worse = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const auto interval = figures.difference(order[i], order[j]);
      if (i == j || !interval) continue;
      if (interval->high < 0) ++better;
      if (interval->low > 0) ++worse;
      apart[i][j] = interval->high < 0 || interval->low > 0;
    }
    model.best_rank = better + 1;
    model.worst_rank = count - worse;
  }
  if (!figures.critical) return;
  const std::vector<std::string> letters = tie_letters(apart);
  for (std::size_t i = 0; i < count; ++i) figures.models[order[i]].group = letters[i];
}

// 0 → "a", 25 → "z", 26 → "aa".
std::string letter(std::size_t i) {
  std::string text;
  for (++i; i > 0; i = (i - 1) / 26) text.insert(text.begin(), static_cast<char>('a' + (i - 1) % 26));
  return text;
}

}  // namespace

std::optional<Interval> PanelFigures::difference(std::size_t a, std::size_t b) const {
  if (!critical) return std::nullopt;
  const double value = models[b].pooled.value - models[a].pooled.value;
  const double half = *critical * difference_errors[a][b];
  return Interval{value - half, value + half};
}

std::vector<std::string> tie_letters(const std::vector<std::vector<bool>>& apart) {
  const std::size_t count = apart.size();
  using Group = std::vector<bool>;  // who is in it
  const auto holds = [](const Group& group, const Group& part) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i] && !group[i]) return false;
    }
    return true;
  };
  // Insert: whoever is told apart leaves each other's groups; absorb: a group within another says nothing
  // new.
  std::vector<Group> groups(count > 0 ? 1 : 0, Group(count, true));
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      if (!apart[i][j]) continue;
      std::vector<Group> kept, split;
      for (Group& group : groups) {
        if (!group[i] || !group[j]) {
          kept.push_back(std::move(group));
          continue;
        }
        Group without_i = group;
        without_i[i] = false;
        group[j] = false;
        split.push_back(std::move(group));
        split.push_back(std::move(without_i));
      }
      const std::size_t old = kept.size();
      for (Group& part : split) {
        const bool known = std::any_of(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(old),
                                       [&](const Group& group) { return holds(group, part); });
        if (!known) kept.push_back(std::move(part));
      }
      groups = std::move(kept);
      if (groups.size() > kMostTieGroups) return std::vector<std::string>(count);
    }
  }
  // The first letters belong to the best: groups in the order of their members.
  std::sort(groups.begin(), groups.end(), std::greater<>());
  std::vector<std::string> letters(count);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::string name = letter(g);
    for (std::size_t i = 0; i < count; ++i) {
      if (groups[g][i]) letters[i] += letters[i].empty() || name.size() == 1 ? name : " " + name;
    }
  }
  return letters;
}

PanelFigures panel_figures(const Panel& panel, std::uint64_t seed, int resamples) {
  for (const std::vector<double>& bits : panel.bits) {
    if (bits.size() != panel.documents()) {
      throw std::invalid_argument(
          fmt::format("a model has {} documents, the panel {}", bits.size(), panel.documents()));
    }
    if (!std::all_of(bits.begin(), bits.end(), [](double value) { return std::isfinite(value); }))
      throw std::invalid_argument("a document has no finite number of bits");
  }
  PanelFigures figures;
  if (panel.models() == 0 || panel.documents() == 0) return figures;
  const Resampler resampler(panel, seed, resamples);
  bool enough = true;
  for (std::size_t s = 0; s < panel.sources(); ++s)
    enough = enough && resampler.count(s) >= static_cast<double>(kMinDocumentsForInterval);

  const double documents = static_cast<double>(panel.documents()),
               sources = static_cast<double>(panel.sources());
  const std::vector<ModelDraws> draws = resampler.run();
  for (std::size_t m = 0; m < panel.models(); ++m) {
    const ModelState& state = resampler.states()[m];
    ModelFigures model;
    const double macro =
        std::accumulate(state.source_centre.begin(), state.source_centre.end(), 0.0) / sources;
    model.pooled = {state.centre, std::nullopt, panel.documents()};
    model.macro = {macro, std::nullopt, panel.documents()};
    if (enough) {
      model.pooled = estimate_of(state.centre, state.pooled_error, draws[m].pooled, documents, sources);
      // The macro average's error carries 1 / sources, its resampled shifts do not: both are scaled alike.
      model.macro = estimate_of(macro, state.macro_error, draws[m].macro, documents, sources);
    }
    for (std::size_t s = 0; s < panel.sources(); ++s) {
      const double n = resampler.count(s);
      const bool own = n >= static_cast<double>(kMinDocumentsForInterval);
      model.by_source.push_back(
          own ? estimate_of(state.source_centre[s], state.source_error[s], draws[m].sources[s], n, 1)
              : Estimate{state.source_centre[s], std::nullopt, static_cast<std::size_t>(n)});
    }
    figures.models.push_back(std::move(model));
  }
  if (enough) {
    std::vector<std::vector<double>> residuals;
    for (const ModelState& state : resampler.states()) residuals.push_back(state.residual);
    SimultaneousDifferences differences =
        simultaneous_differences(panel, residuals, kPanelConfidence, seed, resamples);
    figures.difference_errors = std::move(differences.errors);
    figures.critical = differences.critical;
  }
  rank(figures);
  return figures;
}

}  // namespace deciban
