// All papers of a category that were first submitted within a window, from arXiv's search API.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "datasets/arxiv_query.h"
#include "datasets/atom.h"
#include "datasets/fetch_source.h"

namespace deciban {

struct ListingLimits {
  std::size_t page = 1000;         // entries asked for at once; arXiv gives at most 2000
  std::size_t smallest_page = 50;  // a page that fails is halved until it is as small as this
  // Windows with more papers are halved: arXiv answers no question beyond its 30,000th result, and gets
  // unreliable before.
  std::size_t deepest = 10'000;
};

// Papers whose primary category is `category` (or in its archive), with cross-lists all that name it,
// ascending by date of submission, each once.  Throws FetchError, FetchStopped, and std::runtime_error with
// arXiv's own message if it refuses the query.
std::vector<AtomEntry> list_arxiv(FetchContext& context, const std::string& api, const std::string& category,
                                  const ArxivQuery& query, const ListingLimits& limits = {});

}  // namespace deciban
