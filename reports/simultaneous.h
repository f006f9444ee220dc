// All differences between models at once: how wide intervals of paired differences must be so that all of
// them hold together.
#pragma once

#include <cstdint>
#include <vector>

#include "reports/panel.h"

namespace deciban {

struct SimultaneousDifferences {
  // Linearised standard errors of the pooled differences, [model a][model b].
  std::vector<std::vector<double>> errors;
  // So many of them make up each interval.
  double critical = 0;
};

// `residuals[model][document]` = bits − (the model's pooled bits per byte) · bytes; every source has at least
// two documents.  The critical value is the `confidence` quantile of the largest |difference| / standard
// error over all pairs, from the wild bootstrap: each document's residuals, the same document's of all models
// alike, keep or change their signs by chance, and difference and standard error are computed anew (Wu 1986,
// Annals of Statistics 14:1261-1295; signs as in Davidson and Flachaire 2008, Journal of Econometrics
// 146:162-169; the largest as in Romano and Wolf 2005, Econometrica 73:1237-1282).  A document that holds a
// large share of all bytes draws the ratio to itself and so leaves too small a residual: residuals are
// divided by √(1 − share) before (the correction known as HC2).  Drawing documents with replacement instead
// misses where few documents decide (docs/statistics.md has both).  Deterministic in `seed`, whatever the
// number of threads.
SimultaneousDifferences simultaneous_differences(const Panel& panel,
                                                 const std::vector<std::vector<double>>& residuals,
                                                 double confidence, std::uint64_t seed, int resamples);

}  // namespace deciban
