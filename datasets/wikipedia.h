// New articles of a Wikipedia since a date, through the MediaWiki API.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "datasets/fetch_source.h"
#include "datasets/fetch_time.h"

namespace deciban {

struct WikipediaQuery {
  std::string language = "en";
  std::chrono::sys_days from, to;  // of the page's creation, both included, UTC
  std::size_t count = 100;
  std::uint64_t seed = 1;
  std::size_t min_characters = 1000;  // of a text, as uncheatable_eval demands

  void check() const;  // throws std::invalid_argument
};
nlohmann::json settings_of(const WikipediaQuery& query);
WikipediaQuery wikipedia_query_of(const nlohmann::json& settings);

// `api` is the address of api.php with {} where the language belongs ("https://{}.wikipedia.org/w/api.php"),
// or without. Draws `query.count` of the pages made in the window (the wiki remembers about the last month;
// if the window begins before that it says so) and returns their present plain texts.  Rows have id
// ("enwiki:PAGE"), page, revision, published (date of creation), title, category (the language), licence,
// source ("wikipedia"), url and text.  Redirects, disambiguation pages, deleted, short and near-duplicate
// ones are dropped and counted.  Ledger and exceptions as for fetch_arxiv().
Gathered fetch_wikipedia(FetchContext& context, const WikipediaQuery& query, const std::string& api);

// The pages of a manifest again.  The API gives present texts only: pages that were edited since are dropped
// as "differs from the manifest".
Gathered rebuild_wikipedia(FetchContext& context, const nlohmann::json& manifest, const std::string& api);

}  // namespace deciban
