#include "reports/simultaneous.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "reports/order_statistics.h"
#include "reports/random.h"

namespace deciban {
namespace {

constexpr std::size_t kDrawsAtOnce = 8;  // resamples that share one pass over a model's residuals

// What signs do not change: sums over a source's documents, and how they enter a variance.
struct Source {
  std::size_t begin = 0, end = 0;
  double bytes = 0, squares = 0;  // Σ, and Σ of squares
  double factor = 0;              // n / (n − 1), of a sample's variance
  double mean_share = 0;          // factor / n, of the squared sum
};

std::vector<Source> sources_of(const Panel& panel) {
  std::vector<Source> sources;
  for (std::size_t s = 0; s < panel.sources(); ++s) {
    Source source{panel.source_begin[s], panel.source_begin[s + 1]};
    for (std::size_t d = source.begin; d < source.end; ++d) {
      source.bytes += panel.bytes[d];
      source.squares += panel.bytes[d] * panel.bytes[d];
    }
    const double n = static_cast<double>(source.end - source.begin);
    source.factor = n / (n - 1);
    source.mean_share = 1 / (n - 1);
    sources.push_back(source);
  }
  return sources;
}

class WildBootstrap {
 public:
  WildBootstrap(const Panel& panel, const std::vector<std::vector<double>>& residuals)
      : panel_(panel), sources_(sources_of(panel)) {
    for (const Source& source : sources_) {
      bytes_ += source.bytes;
      squares_ += source.factor * source.squares - source.mean_share * source.bytes * source.bytes;
    }
    for (const std::vector<double>& own : residuals) {
      std::vector<double>& freed = freed_.emplace_back(own.size());
      for (const Source& source : sources_) {
        double sum = 0;
        for (std::size_t d = source.begin; d < source.end; ++d) sum += own[d];
        const double mean = sum / static_cast<double>(source.end - source.begin);
        for (std::size_t d = source.begin; d < source.end; ++d) {
          const double share = std::min(panel.bytes[d] / bytes_, 0.999);  // all of it: no residual is left
          freed[d] = (own[d] - mean) / std::sqrt(1 - share);
        }
      }
    }
    const std::size_t models = freed_.size();
    spread_.assign(models, std::vector<double>(models, 0));
    for (std::size_t a = 0; a < models; ++a) {
      for (std::size_t b = a + 1; b < models; ++b) {
        for (const Source& source : sources_) {
          double sum = 0;
          for (std::size_t d = source.begin; d < source.end; ++d) {
            const double difference = freed_[b][d] - freed_[a][d];
            sum += difference * difference;
          }
          spread_[a][b] += source.factor * sum;
        }
      }
    }
  }

  // The largest |difference| / standard error over all pairs that differ at all, of each resample.
  std::vector<double> largest(std::uint64_t seed, std::size_t resamples) const {
    std::vector<double> result(resamples, 0);
    const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
    const auto work = [&](std::size_t first) {
      for (std::size_t block = first; block * kDrawsAtOnce < resamples; block += threads) {
        // A seed of its own for each block: the same numbers whatever the number of threads.
        Random random(~seed * 0x9e3779b97f4a7c15 + block);
        double squares[kDrawsAtOnce] = {};
        take(random, squares);
        for (std::size_t b = 0; b < kDrawsAtOnce && block * kDrawsAtOnce + b < resamples; ++b)
          result[block * kDrawsAtOnce + b] = std::sqrt(squares[b]);
      }
    };
    std::vector<std::jthread> team;
    for (std::size_t t = 1; t < threads; ++t) team.emplace_back(work, t);
    work(0);
    return result;
  }

 private:
  // One model under kDrawsAtOnce draws of signs.
  struct Sums {
    double all[kDrawsAtOnce] = {};    // Σ of residuals
    double cross[kDrawsAtOnce] = {};  // what the variance has of residuals times bytes
    std::vector<double> by_source;    // [source][kDrawsAtOnce]: Σ, scaled to be squared
    explicit Sums(std::size_t sources) : by_source(sources * kDrawsAtOnce) {}
  };

  std::vector<double> signs(Random& random) const {
    std::vector<double> signs(panel_.documents() * kDrawsAtOnce);
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < signs.size(); ++i) {
      if (i % 64 == 0) bits = random.next();
      signs[i] = bits & 1 ? 1.0 : -1.0;
      bits >>= 1;
    }
    return signs;
  }

  Sums sums_of(const std::vector<double>& residuals, const std::vector<double>& signs) const {
    Sums sums(sources_.size());
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      const Source& source = sources_[s];
      double sum[kDrawsAtOnce] = {}, product[kDrawsAtOnce] = {};
      for (std::size_t d = source.begin; d < source.end; ++d) {
        const double r = residuals[d], rb = r * panel_.bytes[d];
        const double* sign = signs.data() + d * kDrawsAtOnce;
        for (std::size_t b = 0; b < kDrawsAtOnce; ++b) {
          sum[b] += sign[b] * r;
          product[b] += sign[b] * rb;
        }
      }
      const double scale = std::sqrt(source.mean_share);
      for (std::size_t b = 0; b < kDrawsAtOnce; ++b) {
        sums.all[b] += sum[b];
        sums.cross[b] += source.factor * product[b] - source.mean_share * source.bytes * sum[b];
        sums.by_source[s * kDrawsAtOnce + b] = scale * sum[b];
      }
    }
    return sums;
  }

  // The largest squares of this block's resamples.  With e the signed residuals of a pair and k its
  // difference under these signs, the variance is Σ over sources of n / (n − 1) (Σ (e − k·bytes)² − (Σ (e −
  // k·bytes))² / n), multiplied out.
  void take(Random& random, double (&largest)[kDrawsAtOnce]) const {
    const std::vector<double> drawn = signs(random);
    std::vector<Sums> models;
    models.reserve(freed_.size());
    for (const std::vector<double>& residuals : freed_) models.push_back(sums_of(residuals, drawn));
    for (std::size_t i = 0; i < models.size(); ++i) {
      for (std::size_t j = i + 1; j < models.size(); ++j) {
        if (spread_[i][j] == 0) continue;
        const Sums &x = models[i], &y = models[j];
        double means[kDrawsAtOnce] = {};
        for (std::size_t s = 0; s < sources_.size(); ++s) {
          for (std::size_t b = 0; b < kDrawsAtOnce; ++b) {
            const double sum = y.by_source[s * kDrawsAtOnce + b] - x.by_source[s * kDrawsAtOnce + b];
            means[b] += sum * sum;
          }
        }
        for (std::size_t b = 0; b < kDrawsAtOnce; ++b) {
          const double sum = y.all[b] - x.all[b], shift = sum / bytes_;
          const double variance =
              spread_[i][j] - means[b] + shift * (shift * squares_ - 2 * (y.cross[b] - x.cross[b]));
          // Rounding may leave a variance of nothing below nothing.
          const double square = variance > 1e-12 * spread_[i][j]
                                    ? sum * sum / variance
                                    : (sum == 0 ? 0 : std::numeric_limits<double>::infinity());
          largest[b] = std::max(largest[b], square);
        }
      }
    }
  }

  const Panel& panel_;
  std::vector<Source> sources_;
  double bytes_ = 0, squares_ = 0;
  std::vector<std::vector<double>> freed_;   // [model][document]: residuals freed of their document's pull
  std::vector<std::vector<double>> spread_;  // [model][model]: Σ of squared differences
};

std::vector<std::vector<double>> pair_errors(const Panel& panel,
                                             const std::vector<std::vector<double>>& residuals) {
  const std::size_t models = panel.models();
  const double total = std::accumulate(panel.bytes.begin(), panel.bytes.end(), 0.0);
  std::vector<std::vector<double>> errors(models, std::vector<double>(models, 0));
  for (std::size_t a = 0; a < models; ++a) {
    for (std::size_t b = a + 1; b < models; ++b) {
      double variance = 0;
      for (std::size_t s = 0; s < panel.sources(); ++s) {
        const double n = static_cast<double>(panel.source_begin[s + 1] - panel.source_begin[s]);
        double sum = 0, squares = 0;
        for (std::size_t d = panel.source_begin[s]; d < panel.source_begin[s + 1]; ++d) {
          const double difference = residuals[b][d] - residuals[a][d];
          sum += difference;
          squares += difference * difference;
        }
        variance += std::max(0.0, n / (n - 1) * (squares - sum * sum / n));
      }
      errors[a][b] = errors[b][a] = std::sqrt(variance) / total;
    }
  }
  return errors;
}

}  // namespace

SimultaneousDifferences simultaneous_differences(const Panel& panel,
                                                 const std::vector<std::vector<double>>& residuals,
                                                 double confidence, std::uint64_t seed, int resamples) {
  std::vector<double> largest =
      WildBootstrap(panel, residuals).largest(seed, static_cast<std::size_t>(resamples));
  std::sort(largest.begin(), largest.end());
  return {pair_errors(panel, residuals), resampled_quantile(largest, confidence)};
}

}  // namespace deciban
