// What is asked of arXiv: categories, a window of submission dates, how many papers; and the URLs that ask
// it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "datasets/fetch_time.h"
#include "datasets/paper.h"

namespace deciban {

enum class PaperForm { html, source, any };  // any: HTML, and the LaTeX source where that has no good page

struct ArxivQuery {
  std::vector<std::string> categories;  // "cs.CL", or "cs" for all of an archive
  std::chrono::sys_days from, to;       // of the first submission, both included, GMT
  std::size_t count = 100;
  std::uint64_t seed = 1;
  bool open_only = false;    // only licences that let everybody pass the text on
  bool cross_lists = false;  // also papers whose primary category is another
  PaperForm form = PaperForm::any;
  Math math = Math::tex;
  std::size_t min_characters = 2000;  // of a text, as uncheatable_eval demands

  // Throws std::invalid_argument naming what is missing, unknown or out of range.
  void check() const;
};

// All that decides what is fetched, for the ledger and the manifest; and back.  query_of() throws
// std::runtime_error naming a field that is missing or wrong.
nlohmann::json settings_of(const ArxivQuery& query);
ArxivQuery query_of(const nlohmann::json& settings);

const char* name_of(PaperForm form);  // "html", "source", "auto"
const char* name_of(Math math);       // "tex", "drop", "token"
// Throw std::invalid_argument naming the word and what there is.
PaperForm paper_form(const std::string& word);
Math math_of(const std::string& word);

// Base URLs, without a slash at the end.
struct ArxivServers {
  std::string api;     // of the search API: ".../api/query"
  std::string oai;     // of OAI-PMH: ".../oai"
  std::string html;    // ".../html", before "/ID"
  std::string source;  // ".../src", before "/ID"
};

// One page of the papers first submitted from `first` to `last` (both included), oldest first.
std::string listing_url(const std::string& api, const std::string& category, Minute first, Minute last,
                        std::size_t start, std::size_t size);
// The record of one paper with its licence.
std::string licence_url(const std::string& oai, const std::string& id);

}  // namespace deciban
