#include "datasets/wikipedia.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "datasets/curl_parts.h"
#include "datasets/licence.h"
#include "datasets/minhash.h"
#include "datasets/paper_text.h"
#include "datasets/sample.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr const char* kCommon = "action=query&format=json&formatversion=2&maxlag=5";

std::string api_of(const std::string& pattern, const std::string& language) {
  std::string url = pattern;
  if (const std::size_t at = url.find("{}"); at != std::string::npos) url.replace(at, 2, language);
  return url;
}

// The wiki's answer; one that asks to come back later (maxlag) counts as busy.
json ask(PoliteClient& client, const std::string& url) {
  PoliteRequest request;
  request.url = url;
  request.objection = [](const Answer& answer) -> std::string {
    const json body = json::parse(answer.body, nullptr, false);
    if (!body.is_object()) return "the answer is not JSON";
    const json error = body.value("error", json());
    if (!error.is_object()) return "";
    const std::string code = error.value("code", "");
    return code == "maxlag" || code == "ratelimited" || code == "readonly" ? "the wiki is busy: " + code : "";
  };
  const Answer answer = client.get(request);
  if (answer.status != 200)
    throw FetchError(fmt::format("{}: the server answers {}", url, describe_status(answer.status)),
                     answer.status, true);
  json body = json::parse(answer.body);
  if (const json error = body.value("error", json()); error.is_object()) {
    throw std::runtime_error(fmt::format("the wiki refuses the question: {}: {}", error.value("code", ""),
                                         error.value("info", "")));
  }
  return body;
}

const json& part(const json& body, const char* name) {
  if (!body.contains("query") || !body["query"].is_object() || !body["query"].contains(name))
    throw std::runtime_error(fmt::format("the wiki's answer has no query.{}", name));
  return body["query"][name];
}

// [{page, title, created}], oldest first.
json list_new_pages(FetchContext& context, const WikipediaQuery& query, const std::string& api) {
  json all = json::array();
  std::string next;
  do {
    const json& page = context.ledger.once("list " + next, [&]() -> json {
      std::string url = fmt::format(
          "{}?{}&list=recentchanges&rctype=new&rcnamespace=0&rcshow=!redirect&rcprop=ids%7Ctitle%7Ctimestamp&"
          "rcdir=newer"
          "&rclimit=500&rcstart={}T00:00:00Z&rcend={}T23:59:59Z",
          api, kCommon, iso_date(query.from), iso_date(query.to));
      if (!next.empty()) url += "&rccontinue=" + url_encoded(next);
      const json body = ask(context.client, url);
      json pages = json::array();
      for (const json& change : part(body, "recentchanges"))
        pages.push_back({{"page", change.at("pageid").get<std::uint64_t>()},
                         {"title", change.at("title").get<std::string>()},
                         {"created", change.at("timestamp").get<std::string>()}});
      const json more = body.value("continue", json::object());
      return {{"pages", std::move(pages)}, {"next", more.value("rccontinue", "")}};
    });
    all.insert(all.end(), page.at("pages").begin(), page.at("pages").end());
    const std::string following = page.at("next");
    if (!following.empty() && following == next)
      throw std::runtime_error("the wiki's list goes round in a circle");
    next = following;
    context.observer.progress({"listing new pages", all.size(), 0, -1});
  } while (!next.empty());
  return all;
}

// {"row": …} or {"dropped": …}.
json read_page(FetchContext& context, const std::string& api, const json& page, const std::string& language,
               const std::string& licence) {
  const std::uint64_t number = page.at("page");
  return context.ledger.once(fmt::format("page {}", number), [&]() -> json {
    const json body =
        ask(context.client,
            fmt::format("{}?{}&pageids={}&prop=extracts%7Crevisions%7Cpageprops%7Cinfo&explaintext=1"
                        "&exsectionformat=plain&rvprop=ids%7Ctimestamp&ppprop=disambiguation&inprop=url",
                        api, kCommon, number));
    const auto dropped = [](const char* reason) -> json { return {{"dropped", reason}}; };
    const json& pages = part(body, "pages");
    if (!pages.is_array() || pages.size() != 1) throw std::runtime_error("the wiki's answer is not one page");
    const json& answer = pages[0];
    if (answer.value("missing", false)) return dropped("deleted");
    if (answer.value("redirect", false)) return dropped("redirect");
    if (answer.contains("pageprops") && answer["pageprops"].contains("disambiguation"))
      return dropped("disambiguation");
    if (!answer.contains("extract") || !answer["extract"].is_string() || !answer.contains("revisions") ||
        answer["revisions"].empty())
      return dropped("no text");
    return {{"row",
             {{"id", fmt::format("{}wiki:{}", language, number)},
              {"page", number},
              {"revision", answer["revisions"][0].at("revid").get<std::uint64_t>()},
              {"published", page.at("created").get<std::string>().substr(0, 10)},
              {"title", answer.value("title", "")},
              {"category", language},
              {"licence", licence},
              {"source", "wikipedia"},
              {"url", answer.value("canonicalurl", "")},
              {"text", answer["extract"]}}}};
  });
}

std::string licence_of(FetchContext& context, const std::string& api) {
  return context.ledger.once("licence", [&]() -> json {
    const json body = ask(context.client, fmt::format("{}?{}&meta=siteinfo&siprop=rightsinfo", api, kCommon));
    return licence_name(part(body, "rightsinfo").value("url", ""));
  });
}

}  // namespace

void WikipediaQuery::check() const {
  if (language.size() < 2 || language.size() > 12 ||
      language.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != std::string::npos)
    throw std::invalid_argument(
        fmt::format("'{}' is not a Wikipedia's language; for example wikipedia:de", language));
  if (from > to)
    throw std::invalid_argument(
        fmt::format("the dates run backwards: from {} to {}", iso_date(from), iso_date(to)));
  if (count == 0) throw std::invalid_argument("-n 0 asks for nothing");
}

json settings_of(const WikipediaQuery& query) {
  return {{"source", "wikipedia"},
          {"language", query.language},
          {"from", iso_date(query.from)},
          {"to", iso_date(query.to)},
          {"count", query.count},
          {"seed", query.seed},
          {"min_characters", query.min_characters}};
}

WikipediaQuery wikipedia_query_of(const json& settings) {
  try {
    WikipediaQuery query;
    query.language = settings.at("language").get<std::string>();
    query.from = parse_date(settings.at("from").get<std::string>());
    query.to = parse_date(settings.at("to").get<std::string>());
    query.count = settings.at("count").get<std::size_t>();
    query.seed = settings.at("seed").get<std::uint64_t>();
    query.min_characters = settings.at("min_characters").get<std::size_t>();
    query.check();
    return query;
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("the settings are not those of a Wikipedia corpus: {}", error.what()));
  }
}

Gathered fetch_wikipedia(FetchContext& context, const WikipediaQuery& query, const std::string& pattern) {
  query.check();
  const std::string api = api_of(pattern, query.language);
  const json pages = list_new_pages(context, query, api);
  if (pages.empty()) {
    throw std::runtime_error(
        fmt::format("the wiki lists no new pages from {} to {}; it remembers about the last month",
                    iso_date(query.from), iso_date(query.to)));
  }
  const std::string first = pages[0].at("created").get<std::string>().substr(0, 10);
  if (first > iso_date(query.from + std::chrono::days(1)))
    context.observer.note(fmt::format("the wiki's list begins only on {}", first));
  const std::string licence = licence_of(context, api);
  Gathered result;
  result.settings = settings_of(query);
  result.wanted = query.count;
  std::vector<std::string> ids, lines;
  for (const json& page : pages) {
    ids.push_back(page.at("page").dump());
    lines.push_back(fmt::format("{} {}", page.at("page").dump(), page.at("created").get<std::string>()));
  }
  result.provenance = {{"candidates", {{"count", pages.size()}, {"sha256", list_digest(lines)}}},
                       {"licence", licence}};
  const std::size_t wanted = std::min(query.count, pages.size());
  NearDuplicates duplicates;
  for (const std::size_t index : draw_order(ids, query.seed)) {
    if (result.rows.size() == query.count) break;
    const double rate = result.rows.empty() ? 1.0
                                            : 1.0 + static_cast<double>(result.dropped.size()) /
                                                        static_cast<double>(result.rows.size());
    context.observer.progress(
        {"pages", result.rows.size(), wanted,
         static_cast<double>(wanted - result.rows.size()) * rate * context.client.pace().count()});
    json outcome = read_page(context, api, pages[index], query.language, licence);
    const std::string id = fmt::format("{}wiki:{}", query.language, ids[index]);
    if (outcome.contains("dropped")) {
      result.dropped.push_back({id, outcome["dropped"], ""});
      continue;
    }
    const std::string& text = outcome["row"]["text"].get_ref<const std::string&>();
    if (const std::size_t length = count_characters(text); length < query.min_characters) {
      result.dropped.push_back({id, "too short", fmt::format("{} characters", length)});
    } else if (const auto like = duplicates.find_or_accept(text)) {
      result.dropped.push_back({id, "near-duplicate", "of " + result.rows[*like]["id"].get<std::string>()});
    } else {
      result.rows.push_back(std::move(outcome["row"]));
    }
  }
  if (result.rows.empty())
    throw std::runtime_error(fmt::format("none of the {} new pages is usable", pages.size()));
  return result;
}

Gathered rebuild_wikipedia(FetchContext& context, const json& manifest, const std::string& pattern) {
  const WikipediaQuery query = wikipedia_query_of(manifest.at("settings"));
  const std::string api = api_of(pattern, query.language);
  Gathered result;
  result.settings = manifest.at("settings");
  result.provenance = manifest.at("provenance");
  const json& documents = manifest.at("documents");
  result.wanted = documents.size();
  for (const json& document : documents) {
    const std::size_t done = result.rows.size() + result.dropped.size();
    context.observer.progress({"pages", done, documents.size(),
                               static_cast<double>(documents.size() - done) * context.client.pace().count()});
    const std::string id = document.at("id");
    const json page{{"page", document.at("page").get<std::uint64_t>()},
                    {"created", document.at("published")}};
    json outcome = read_page(context, api, page, query.language, document.value("licence", "unknown"));
    if (outcome.contains("dropped")) {
      result.dropped.push_back({id, outcome["dropped"], ""});
    } else if (Sha256::of(outcome["row"]["text"].get_ref<const std::string&>()) != document.at("sha256")) {
      result.dropped.push_back({id, "differs from the manifest",
                                fmt::format("revision {} instead of {}", outcome["row"]["revision"].dump(),
                                            document.value("revision", json()).dump())});
    } else {
      // The text is the manifest's, whatever became of the page's other properties.
      for (const char* name : {"title", "revision", "url"}) {
        if (document.contains(name)) outcome["row"][name] = document[name];
      }
      result.rows.push_back(std::move(outcome["row"]));
    }
  }
  if (result.dropped.empty()) result.dropped = dropped_of(manifest);
  return result;
}

}  // namespace deciban
