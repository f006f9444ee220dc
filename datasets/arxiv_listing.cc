#include "datasets/arxiv_listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "datasets/arxiv_categories.h"
#include "datasets/curl_parts.h"

namespace deciban {
namespace {

using nlohmann::json;
using std::chrono::minutes;

json to_json(const AtomEntry& entry) {
  return {{"id", entry.id},
          {"version", entry.version},
          {"published", entry.published},
          {"title", entry.title},
          {"abstract", entry.abstract},
          {"comment", entry.comment},
          {"categories", entry.categories},
          {"primary", entry.primary_category}};
}

AtomEntry from_json(const json& row) {
  AtomEntry entry;
  entry.id = row.at("id");
  entry.version = row.at("version");
  entry.published = row.at("published");
  entry.title = row.at("title");
  entry.abstract = row.at("abstract");
  entry.comment = row.at("comment");
  entry.categories = row.at("categories").get<std::vector<std::string>>();
  entry.primary_category = row.at("primary");
  return entry;
}

class Listing {
 public:
  Listing(FetchContext& context, const std::string& api, const std::string& category,
          const ListingLimits& limits)
      : context_(context), api_(api), category_(category), limits_(limits), page_size_(limits.page) {}

  // `last` is included.  Entries may come twice where windows touch.
  void window(Minute first, Minute last, std::vector<AtomEntry>& entries) {
    const json* page = &this->page(first, last, 0);
    std::size_t total = page->at("total");
    if (total > limits_.deepest && last - first > minutes(1)) {
      const Minute middle = first + (last - first) / 2;
      window(first, middle, entries);
      window(middle, last, entries);  // both include it: nobody knows to what second arXiv rounds
      return;
    }
    for (std::size_t start = 0;;) {
      for (const json& row : page->at("entries")) entries.push_back(from_json(row));
      start += page->at("entries").size();
      total = page->at("total");
      context_.observer.progress(
          {"listing " + category_, entries.size(), std::max(total, entries.size()),
           static_cast<double>((total - std::min(start, total) + page_size_ - 1) / page_size_) *
               context_.client.pace().count()});
      if (start >= total) return;
      page = &this->page(first, last, start);
    }
  }

 private:
  const json& page(Minute first, Minute last, std::size_t start) {
    const std::string name =
        fmt::format("list {} {} {} {}", category_, compact_minute(first), compact_minute(last), start);
    return context_.ledger.once(name, [&] { return ask(first, last, start); });
  }

  // Asks for smaller pages until one comes: some sizes fail at some places, for days.
  json ask(Minute first, Minute last, std::size_t start) {
    for (;;) {
      const bool smallest = page_size_ <= limits_.smallest_page;
      AtomFeed feed;
      PoliteRequest request;
      request.url = listing_url(api_, category_, first, last, start, page_size_);
      request.keep = Keep::revalidate;
      if (!smallest) request.attempts = 3;
      const auto read = [&](const Answer& answer) -> std::string {
        try {
          feed = parse_atom(answer.body);
        } catch (const std::runtime_error& error) {
          return error.what();
        }
        if (!feed.error.empty() || !feed.entries.empty() || feed.total <= start) return "";
        return fmt::format("the page is empty though there are {} results", feed.total);
      };
      request.objection = read;
      try {
        const Answer answer = context_.client.get(request);
        std::string problem;
        if (answer.cached || answer.status != 200) problem = read(answer);
        if (!feed.error.empty()) throw std::runtime_error("arXiv refuses the query: " + feed.error);
        if (answer.status != 200) {
          throw std::runtime_error(
              fmt::format("{}: arXiv answers {}{}", request.url, describe_status(answer.status),
                          answer.status == 403 ? "; it refuses this computer for now: wait "
                                                 "some hours before the next try"
                                               : ""));
        }
        if (!problem.empty()) throw std::runtime_error(fmt::format("{}: {}", request.url, problem));
        json entries = json::array();
        for (const AtomEntry& entry : feed.entries) entries.push_back(to_json(entry));
        return {{"total", feed.total}, {"entries", std::move(entries)}};
      } catch (const FetchError& error) {
        if (smallest || !error.reached) throw;
        page_size_ = std::max(page_size_ / 2, limits_.smallest_page);
        context_.observer.note(fmt::format("{}; going on with pages of {}", error.what(), page_size_));
      }
    }
  }

  FetchContext& context_;
  const std::string& api_;
  const std::string& category_;
  const ListingLimits& limits_;
  std::size_t page_size_;
};

}  // namespace

std::vector<AtomEntry> list_arxiv(FetchContext& context, const std::string& api, const std::string& category,
                                  const ArxivQuery& query, const ListingLimits& limits) {
  std::vector<AtomEntry> all;
  Listing(context, api, category, limits)
      .window(Minute(query.from), Minute(query.to + std::chrono::days(1)), all);
  // The window's last minute belongs to the next day, and arXiv may count differently: the dates decide.
  const std::string from = iso_date(query.from), to = iso_date(query.to);
  std::vector<AtomEntry> kept;
  std::set<std::string> seen;
  for (AtomEntry& entry : all) {
    const std::string day = entry.published.substr(0, 10);
    const bool named = query.cross_lists
                           ? std::any_of(entry.categories.begin(), entry.categories.end(),
                                         [&](const std::string& name) { return in_category(name, category); })
                           : in_category(entry.primary_category, category);
    if (day >= from && day <= to && named && seen.insert(entry.id).second) kept.push_back(std::move(entry));
  }
  return kept;
}

}  // namespace deciban
