// Tables of what models cost: the points of a sweep, the laws they follow with length, and where one model
// becomes cheaper than another.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/cost.h"
#include "reports/growth.h"
#include "reports/table.h"

namespace deciban {

// The points of one model on one device in one format at one batch, ascending in length.
struct CostSeries {
  std::string model, device, format;
  std::size_t batch = 1;
  std::vector<CostPoint> points;
};
// In the order in which they first occur.
std::vector<CostSeries> cost_series(std::span<const CostPoint> points);

// Ok points' values of one metric, for growth_of(); the noise is what the interval says of a normal one.
std::vector<GrowthPoint> growth_points(const CostSeries& series, std::string_view metric);

struct CostMetric {
  std::string_view name;   // as in CostPoint::metrics
  std::string_view title;  // "prefill", for people
  bool time = true;        // else bytes
};
// Those whose growth is worth a law: prefill, step and generation time; cache and resident memory.
std::span<const CostMetric> growing_metrics();

Table cost_table(std::span<const CostPoint> points);
Table growth_table(std::span<const CostPoint> points, std::uint64_t seed = 1);
// One row a pair of series with one batch and a metric of time; only pairs of different models.
Table crossover_table(std::span<const CostPoint> points, std::uint64_t seed = 1);

// "12.3 ms", "1.2 s", "640 µs"; "1.5 GB", "12 MB".
std::string show_seconds(double seconds);
std::string show_bytes(double bytes);
std::string show_count(double count);  // "183 k", "1.47 M"

}  // namespace deciban
