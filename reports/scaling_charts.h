// The RWKV paper's cost figures from points of deciban bench: time to generate from nothing (Fig. 7), and
// time and memory against the model's size (Fig. 13 and 14).
#pragma once

#include <span>

#include "reports/cost.h"
#include "reports/cost_table.h"
#include "reports/page.h"

namespace deciban {

// Seconds after which so many tokens were generated, one chart for models of about one size (up to twice the
// smallest's parameters), from (0, 0) on linear axes: what costs as much for each token is a straight line.
// Nothing where no model has two such points.
void generation_charts(Node section, std::span<const CostSeries> series);

// What one family's models cost at one length, over their parameters: generating (else one more token) and
// the memory beside the parameters, one line a family.  The length is the longest at which the most models
// were measured.  Nothing where no family has models of two sizes.
void size_charts(Node section, std::span<const CostSeries> series);

}  // namespace deciban
