// Many models on the same documents, resampled together: each model's intervals, all differences between
// models with simultaneous intervals, ranks that follow from them, and groups that cannot be told apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reports/statistics.h"

namespace deciban {

// Documents stand by source; each model has bits for each of them.
struct Panel {
  std::vector<double> bytes;              // of each document
  std::vector<std::size_t> source_begin;  // first document of each source, then the number of documents
  std::vector<std::vector<double>> bits;  // [model][document]
  std::size_t documents() const { return bytes.size(); }
  std::size_t sources() const { return source_begin.empty() ? 0 : source_begin.size() - 1; }
  std::size_t models() const { return bits.size(); }
};

struct ModelFigures {
  Estimate pooled;  // all documents as one, resampled within each source
  Estimate macro;   // unweighted mean over the sources
  std::vector<Estimate> by_source;
  std::size_t best_rank = 1, worst_rank = 1;  // with simultaneous confidence
  std::string group;  // models that share a letter are not told apart ("a", "ab"); letters in order of rank
};

struct PanelFigures {
  std::vector<ModelFigures> models;
  // How many standard errors of a paired difference make up the simultaneous interval of all differences at
  // once; none where there are too few documents.
  std::optional<double> critical;
  // Standard errors of the pooled differences, [model a][model b].
  std::vector<std::vector<double>> difference_errors;
  // The simultaneous interval of pooled bits per byte of b less that of a.
  std::optional<Interval> difference(std::size_t a, std::size_t b) const;
};

// Intervals of one model are bootstrap-t, as ratio_estimate() makes them; those of all differences hold at
// once (simultaneous_differences()).  A
// model's best rank is one more than the number of models shown to be better (Mogstad, Romano, Shaikh and
// Wilhelm 2024, Review of Economic Studies 91:476-518).  Deterministic in `seed`.  Throws
// std::invalid_argument if a number is not finite.
PanelFigures panel_figures(const Panel& panel, std::uint64_t seed = 1, int resamples = 2000);

// Letters for models in order of rank, `apart[i][j]` (symmetric) telling whether i and j are told apart: two
// models share a letter exactly if they are not.  The compact letter display by insertion and absorption
// (Piepho 2004, Journal of Computational and Graphical Statistics 13:456-466).
std::vector<std::string> tie_letters(const std::vector<std::vector<bool>>& apart);

}  // namespace deciban
