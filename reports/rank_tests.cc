#include "reports/rank_tests.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

namespace deciban {
namespace {

constexpr std::size_t kExactDifferences = 50;
constexpr std::size_t kExactPairs = 400;

double upper_normal(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

// Twice the rank of each value, so that mean ranks of ties stay whole; `ties` gets the sum of t^3 - t.
std::vector<std::size_t> doubled_ranks(const std::vector<double>& values, double& ties) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<std::size_t> ranks(values.size());
  ties = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double t = static_cast<double>(end - i);
    ties += t * t * t - t;
    for (std::size_t k = i; k < end; ++k) ranks[order[k]] = i + 1 + end;  // (i + 1 + end) / 2, doubled
    i = end;
  }
  return ranks;
}

// P(S = s) of the sum of a random subset of `weights`.
std::vector<double> subset_sums(const std::vector<std::size_t>& weights) {
  std::vector<double> p{1};
  for (const std::size_t w : weights) {
    std::vector<double> next(p.size() + w);
    for (std::size_t s = 0; s < p.size(); ++s) {
      next[s] += p[s] / 2;
      next[s + w] += p[s] / 2;
    }
    p = std::move(next);
  }
  return p;
}

double tail_from(const std::vector<double>& p, std::size_t from) {
  double sum = 0;
  for (std::size_t s = p.size(); s-- > from;) sum += p[s];
  return std::min(1.0, sum);
}

// Tables that depend on sample sizes only are made once.
class Tables {
 public:
  // Of the signed-rank sum without ties.
  const std::vector<double>& signed_rank(std::size_t n) {
    const std::lock_guard lock(mutex_);
    std::vector<double>& table = signed_rank_[n];
    if (table.empty()) {
      std::vector<std::size_t> ranks(n);
      std::iota(ranks.begin(), ranks.end(), 1);
      table = subset_sums(ranks);
    }
    return table;
  }
  // P(U = u) of m against n values.
  const std::vector<double>& mann_whitney(std::size_t m, std::size_t n) {
    const std::lock_guard lock(mutex_);
    std::vector<double>& table = mann_whitney_[{m, n}];
    if (table.empty()) table = make_mann_whitney(m, n);
    return table;
  }

 private:
  // The greatest of all i + j values is one of the i with probability i / (i + j) and then exceeds all j.
  static std::vector<double> make_mann_whitney(std::size_t m, std::size_t n) {
    std::vector<std::vector<double>> row(n + 1, {1.0});  // i = 0: U is 0 for every j
    for (std::size_t i = 1; i <= m; ++i) {
      std::vector<std::vector<double>> next(n + 1);
      next[0] = {1.0};
      for (std::size_t j = 1; j <= n; ++j) {
        const double share = static_cast<double>(i) / static_cast<double>(i + j);
        next[j].assign(i * j + 1, 0.0);
        for (std::size_t u = 0; u < row[j].size(); ++u) next[j][u + j] += share * row[j][u];
        for (std::size_t u = 0; u < next[j - 1].size(); ++u) next[j][u] += (1 - share) * next[j - 1][u];
      }
      row = std::move(next);
    }
    return row[n];
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<double>> signed_rank_;
  std::map<std::pair<std::size_t, std::size_t>, std::vector<double>> mann_whitney_;
};
Tables& tables() {
  static Tables all;
  return all;
}

double median_of_sorted(const std::vector<double>& values) {
  const std::size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// The greatest number c of values that may be cut off each end of the sorted differences: P(S < c) <= tail.
// 0: not even the extremes hold the confidence.
std::size_t cut_of(const std::vector<double>& p, double tail) {
  double below = 0;
  for (std::size_t s = 0; s < p.size(); ++s) {
    below += p[s];
    if (below > tail) return s;
  }
  return 0;
}

// The same for a symmetric, nearly normal S.
std::size_t normal_cut(double mean, double deviation, double tail) {
  double z = 0;  // bisection of the normal quantile
  for (double low = 0, high = 10; high - low > 1e-9;) {
    z = (low + high) / 2;
    (upper_normal(z) > tail ? low : high) = z;
  }
  const double cut = mean - z * deviation - 0.5;
  return cut > 0 ? static_cast<std::size_t>(cut) : 0;
}

ShiftEstimate estimate_of(std::vector<double> differences, std::size_t cut) {
  ShiftEstimate result;
  if (differences.empty()) return result;
  std::sort(differences.begin(), differences.end());
  result.value = median_of_sorted(differences);
  if (cut > 0 && 2 * cut <= differences.size())
    result.interval = Interval{differences[cut - 1], differences[differences.size() - cut]};
  return result;
}

}  // namespace

double signed_rank_above(std::span<const double> differences, double shift) {
  std::vector<double> sizes;
  std::vector<bool> above;
  for (const double difference : differences) {
    const double d = difference - shift;
    if (d == 0) continue;
    sizes.push_back(std::abs(d));
    above.push_back(d > 0);
  }
  const std::size_t n = sizes.size();
  if (n == 0) return 1;
  double ties = 0;
  const std::vector<std::size_t> ranks = doubled_ranks(sizes, ties);
  std::size_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += above[i] ? ranks[i] : 0;
  if (n <= kExactDifferences)
    return ties == 0 ? tail_from(tables().signed_rank(n), sum / 2) : tail_from(subset_sums(ranks), sum);
  const double count = static_cast<double>(n);
  const double mean = count * (count + 1) / 4,
               variance = count * (count + 1) * (2 * count + 1) / 24 - ties / 48;
  return upper_normal((static_cast<double>(sum) / 2 - mean - 0.5) / std::sqrt(variance));
}

ShiftEstimate signed_rank_shift(std::span<const double> differences, double confidence) {
  std::vector<double> means;
  for (std::size_t i = 0; i < differences.size(); ++i) {
    for (std::size_t j = i; j < differences.size(); ++j)
      means.push_back((differences[i] + differences[j]) / 2);
  }
  const double tail = (1 - confidence) / 2, n = static_cast<double>(differences.size());
  const std::size_t cut = differences.size() <= kExactDifferences
                              ? cut_of(tables().signed_rank(differences.size()), tail)
                              : normal_cut(n * (n + 1) / 4, std::sqrt(n * (n + 1) * (2 * n + 1) / 24), tail);
  return estimate_of(std::move(means), cut);
}

double mann_whitney_above(std::span<const double> first, std::span<const double> second, double shift) {
  if (first.empty() || second.empty()) return 1;
  std::vector<double> all(first.begin(), first.end());
  for (const double value : second) all.push_back(value - shift);
  double ties = 0;
  const std::vector<std::size_t> ranks = doubled_ranks(all, ties);
  std::size_t doubled = 0;
  for (std::size_t i = first.size(); i < all.size(); ++i) doubled += ranks[i];
  const double m = static_cast<double>(second.size()), n = static_cast<double>(first.size());
  const double u = static_cast<double>(doubled) / 2 - m * (m + 1) / 2;
  if (ties == 0 && first.size() * second.size() <= kExactPairs)
    return tail_from(tables().mann_whitney(second.size(), first.size()),
                     static_cast<std::size_t>(std::llround(u)));
  const double total = m + n;
  const double variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)));
  if (!(variance > 0)) return 1;  // all values are equal
  return upper_normal((u - m * n / 2 - 0.5) / std::sqrt(variance));
}

ShiftEstimate mann_whitney_shift(std::span<const double> first, std::span<const double> second,
                                 double confidence) {
  std::vector<double> differences;
  for (const double a : first) {
    for (const double b : second) differences.push_back(b - a);
  }
  if (differences.empty()) return {};
  const double tail = (1 - confidence) / 2;
  const double m = static_cast<double>(second.size()), n = static_cast<double>(first.size());
  const std::size_t cut = differences.size() <= kExactPairs
                              ? cut_of(tables().mann_whitney(second.size(), first.size()), tail)
                              : normal_cut(m * n / 2, std::sqrt(m * n * (m + n + 1) / 12), tail);
  return estimate_of(std::move(differences), cut);
}

}  // namespace deciban
