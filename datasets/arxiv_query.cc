#include "datasets/arxiv_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "datasets/arxiv_categories.h"
#include "datasets/http_client.h"

namespace deciban {

using nlohmann::json;

const char* name_of(PaperForm form) {
  return form == PaperForm::html ? "html" : form == PaperForm::source ? "source" : "auto";
}

const char* name_of(Math math) { return math == Math::tex ? "tex" : math == Math::drop ? "drop" : "token"; }

PaperForm paper_form(const std::string& word) {
  for (const PaperForm form : {PaperForm::html, PaperForm::source, PaperForm::any}) {
    if (word == name_of(form)) return form;
  }
  throw std::invalid_argument(
      fmt::format("texts can't be taken from '{}'; there are html, source and auto", word));
}

Math math_of(const std::string& word) {
  for (const Math math : {Math::tex, Math::drop, Math::token}) {
    if (word == name_of(math)) return math;
  }
  throw std::invalid_argument(
      fmt::format("mathematics can't become '{}'; there are tex, drop and token", word));
}

void ArxivQuery::check() const {
  if (categories.empty())
    throw std::invalid_argument("no category was named; for example --category cs.CL,math");
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (!is_arxiv_category(categories[i]))
      throw std::invalid_argument(fmt::format("arXiv has no category '{}'", categories[i]));
    for (std::size_t k = 0; k < categories.size(); ++k) {
      if (k != i && in_category(categories[i], categories[k]))
        throw std::invalid_argument(
            fmt::format("category {} is named twice{}", categories[i],
                        categories[i] == categories[k] ? "" : ", as it is part of " + categories[k]));
    }
  }
  if (from > to)
    throw std::invalid_argument(
        fmt::format("the dates run backwards: from {} to {}", iso_date(from), iso_date(to)));
  if (count == 0) throw std::invalid_argument("-n 0 asks for nothing");
}

json settings_of(const ArxivQuery& query) {
  return {{"source", "arxiv"},
          {"categories", query.categories},
          {"from", iso_date(query.from)},
          {"to", iso_date(query.to)},
          {"count", query.count},
          {"seed", query.seed},
          {"licence", query.open_only ? "open" : "any"},
          {"cross_lists", query.cross_lists},
          {"text", name_of(query.form)},
          {"math", name_of(query.math)},
          {"min_characters", query.min_characters}};
}

ArxivQuery query_of(const json& settings) {
  try {
    ArxivQuery query;
    query.categories = settings.at("categories").get<std::vector<std::string>>();
    query.from = parse_date(settings.at("from").get<std::string>());
    query.to = parse_date(settings.at("to").get<std::string>());
    query.count = settings.at("count").get<std::size_t>();
    query.seed = settings.at("seed").get<std::uint64_t>();
    query.open_only = settings.at("licence") == "open";
    query.cross_lists = settings.at("cross_lists").get<bool>();
    query.form = paper_form(settings.at("text").get<std::string>());
    query.math = math_of(settings.at("math").get<std::string>());
    query.min_characters = settings.at("min_characters").get<std::size_t>();
    return query;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("the settings are not those of an arXiv corpus: {}", error.what()));
  }
}

std::string listing_url(const std::string& api, const std::string& category, Minute first, Minute last,
                        std::size_t start, std::size_t size) {
  // Papers older than an archive's division ("astro-ph" beside "astro-ph.CO") count too.
  const auto known = arxiv_categories();
  const bool undivided = std::find(known.begin(), known.end(), category) != known.end();
  const char* below = !is_arxiv_archive(category) ? "" : undivided ? "*" : ".*";
  const std::string query = fmt::format("cat:{}{} AND submittedDate:[{} TO {}]", category, below,
                                        compact_minute(first), compact_minute(last));
  return fmt::format("{}?search_query={}&start={}&max_results={}&sortBy=submittedDate&sortOrder=ascending",
                     api, url_encoded(query), start, size);
}

std::string licence_url(const std::string& oai, const std::string& id) {
  return fmt::format("{}?verb=GetRecord&metadataPrefix=arXiv&identifier={}", oai,
                     url_encoded("oai:arXiv.org:" + id));
}

}  // namespace deciban
