#include "datasets/arxiv.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "datasets/curl_parts.h"
#include "datasets/licence.h"
#include "datasets/minhash.h"
#include "datasets/oai.h"
#include "datasets/paper_text.h"
#include "datasets/sample.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::size_t kFailuresInARow = 3;

// What a row says besides what its text says; `metadata` is of the listing or of a manifest.
json row_of(const json& metadata, const PaperText& text) {
  json row = metadata;
  json sections = json::array();
  for (const PaperSection& section : text.paper.sections) {
    sections.push_back(
        {{"level", section.level}, {"title", section.title}, {"characters", count_characters(section.text)}});
  }
  const bool own_abstract = !text.paper.abstract.empty();
  if (own_abstract) row["abstract"] = text.paper.abstract;
  row["abstract_from"] = own_abstract ? "text" : "metadata";
  row["conclusion"] = text.paper.conclusion;
  row["sections"] = std::move(sections);
  row["source"] = text.source;
  row["source_sha256"] = text.digest;
  row["text"] = text.text;
  return row;
}

json dropped_json(const Dropped& dropped) {
  return {{"dropped", dropped.reason}, {"detail", dropped.detail}};
}

// Papers one after the other.  Failures that may be the server's are recorded only when a later paper comes
// through: a server that breaks down must not cost a paper its place.
class PaperFetcher {
 public:
  PaperFetcher(FetchContext& context, const ArxivServers& servers, const PaperReader& reader)
      : context_(context), servers_(servers), reader_(reader) {}

  // {"row": …} or {"dropped": reason, "detail": …}.
  json get(const json& metadata, PaperForm form, Math math) {
    const std::string id = metadata.at("id");
    const int version = metadata.at("version");
    const std::string name = fmt::format("paper {}v{}", id, version);
    if (const json* known = context_.ledger.find(name)) return *known;
    const PaperText text = get_paper(context_.client, servers_, reader_, id, version, form, math);
    if (text.doubtful) {
      doubtful_.emplace_back(name, dropped_json({id, text.reason, text.detail}));
      if (doubtful_.size() >= kFailuresInARow) {
        throw FetchError(
            fmt::format("{} papers in a row failed, the last with \"{}: {}\"; arXiv seems to have a "
                        "problem",
                        kFailuresInARow, text.reason, text.detail),
            0, true);
      }
      return doubtful_.back().second;
    }
    settle();
    return context_.ledger.record(name, text.reason.empty() ? json{{"row", row_of(metadata, text)}}
                                                            : dropped_json({id, text.reason, text.detail}));
  }
  // The failures were the papers' own.
  void settle() {
    for (auto& [name, value] : doubtful_) context_.ledger.record(name, std::move(value));
    doubtful_.clear();
  }

 private:
  FetchContext& context_;
  const ArxivServers& servers_;
  const PaperReader& reader_;
  std::vector<std::pair<std::string, json>> doubtful_;
};

// {"licence": URL, "deleted": bool}.
const json& licence_of(FetchContext& context, const std::string& oai, const std::string& id) {
  return context.ledger.once("licence " + id, [&]() -> json {
    OaiAnswer record;
    PoliteRequest request;
    request.url = licence_url(oai, id);
    request.keep = Keep::revalidate;
    const auto read = [&](const Answer& answer) -> std::string {
      try {
        record = parse_oai(answer.body);
      } catch (const std::runtime_error& error) {
        return error.what();
      }
      const bool right = !record.error.empty() || (record.records.size() == 1 && record.records[0].id == id);
      return right ? "" : fmt::format("the answer has {} records, not that of {}", record.records.size(), id);
    };
    request.objection = read;
    const Answer answer = context.client.get(request);
    const std::string problem = answer.cached ? read(answer) : "";
    if (answer.status != 200 || !problem.empty()) {
      throw FetchError(
          fmt::format("{}: {}", request.url,
                      problem.empty() ? "the server answers " + describe_status(answer.status) : problem),
          answer.status, true);
    }
    if (record.error.starts_with("idDoesNotExist")) return {{"licence", ""}, {"deleted", false}};
    if (!record.error.empty()) throw FetchError(fmt::format("{}: {}", request.url, record.error), 200, true);
    return {{"licence", record.records[0].licence}, {"deleted", record.records[0].deleted}};
  });
}

// Everything that can be told about a candidate before its text is asked for.
struct Candidate {
  AtomEntry entry;
  std::size_t stratum;
};

std::vector<Candidate> list_all(FetchContext& context, const ArxivQuery& query, const ArxivServers& servers,
                                const ListingLimits& limits) {
  std::vector<Candidate> all;
  std::set<std::string> seen;  // cross-lists come once for each category
  for (std::size_t s = 0; s < query.categories.size(); ++s) {
    for (AtomEntry& entry : list_arxiv(context, servers.api, query.categories[s], query, limits)) {
      if (seen.insert(entry.id).second) all.push_back({std::move(entry), s});
    }
  }
  return all;
}

json provenance_of(const std::vector<Candidate>& candidates, const ArxivQuery& query) {
  std::vector<std::string> lines;
  std::map<std::string, std::size_t> by_category;
  for (const std::string& category : query.categories) by_category[category] = 0;
  for (const auto& [entry, stratum] : candidates) {
    lines.push_back(
        fmt::format("{}v{} {} {}", entry.id, entry.version, entry.published, entry.primary_category));
    ++by_category[query.categories[stratum]];
  }
  return {{"candidates",
           {{"count", candidates.size()},
            {"by_category", by_category},
            {"sha256", list_digest(std::move(lines))}}}};
}

std::string reasons(const std::vector<Dropped>& dropped) {
  std::map<std::string, std::size_t> counts;
  for (const Dropped& one : dropped) ++counts[one.reason];
  std::string text;
  for (const auto& [reason, count] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  return text;
}

}  // namespace

bool says_withdrawn(std::string_view comment, std::string_view abstract) {
  const auto lower = [](std::string_view text) {
    std::string result(text);
    for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return result;
  };
  const std::string note = lower(comment), summary = lower(abstract);
  // "withdrawn from the workshop" is no withdrawal from arXiv.
  if (note.find("withdrawn") != std::string::npos && note.find("withdrawn from") == std::string::npos)
    return true;
  for (const char* phrase : {"this paper has been withdrawn", "this article has been withdrawn",
                             "this submission has been withdrawn", "has been withdrawn by"}) {
    if (summary.find(phrase) != std::string::npos) return true;
  }
  return false;
}

Gathered fetch_arxiv(FetchContext& context, const ArxivQuery& query, const ArxivServers& servers,
                     const PaperReader& reader, const ListingLimits& limits) {
  query.check();
  const std::vector<Candidate> candidates = list_all(context, query, servers, limits);
  Gathered result;
  result.settings = settings_of(query);
  result.provenance = provenance_of(candidates, query);
  result.wanted = query.count;

  std::vector<std::vector<std::string>> ids(query.categories.size());
  std::vector<std::vector<std::size_t>> indices(query.categories.size()), strata(query.categories.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    ids[candidates[i].stratum].push_back(candidates[i].entry.id);
    indices[candidates[i].stratum].push_back(i);
  }
  for (std::size_t s = 0; s < strata.size(); ++s) {
    for (const std::size_t place : draw_order(ids[s], query.seed)) strata[s].push_back(indices[s][place]);
  }
  const std::size_t wanted = std::min(query.count, candidates.size());
  context.observer.note(fmt::format("{} papers in the window; {} are drawn", candidates.size(), wanted));

  StratifiedDraw draw(std::move(strata));
  NearDuplicates duplicates;
  PaperFetcher papers(context, servers, reader);
  const std::uint64_t requests_before = context.client.requests();
  std::size_t asked = 0;  // papers that cost requests in this run
  while (result.rows.size() < query.count) {
    const double each = asked == 0 ? 2.0
                                   : static_cast<double>(context.client.requests() - requests_before) /
                                         static_cast<double>(asked);
    // Of those drawn so far as many have to be drawn for one more as for each before.
    const double rate = result.rows.empty() ? 1.0
                                            : 1.0 + static_cast<double>(result.dropped.size()) /
                                                        static_cast<double>(result.rows.size());
    context.observer.progress({"papers", result.rows.size(), wanted,
                               static_cast<double>(wanted - std::min(wanted, result.rows.size())) * rate *
                                   each * context.client.pace().count()});
    const auto drawn = draw.next();
    if (!drawn) break;
    const AtomEntry& entry = candidates[drawn->candidate].entry;
    const auto drop = [&](std::string reason, std::string detail) {
      result.dropped.push_back({entry.id, std::move(reason), std::move(detail)});
    };
    if (says_withdrawn(entry.comment, entry.abstract)) {
      drop("withdrawn", entry.comment);
      continue;
    }
    const std::uint64_t before = context.client.requests();
    const json& record = licence_of(context, servers.oai, entry.id);
    const std::string licence = licence_name(record.at("licence").get<std::string>());
    if (record.at("deleted").get<bool>()) {
      drop("withdrawn", "its record is deleted");
    } else if (query.open_only && !is_open_licence(licence)) {
      drop("licence", licence);
    } else {
      const json metadata{{"id", entry.id},
                          {"version", entry.version},
                          {"published", entry.published.substr(0, 10)},
                          {"title", entry.title},
                          {"abstract", entry.abstract},
                          {"categories", entry.categories},
                          {"primary_category", entry.primary_category},
                          {"category", query.categories[drawn->stratum]},
                          {"licence", licence}};
      json outcome = papers.get(metadata, query.form, query.math);
      if (outcome.contains("dropped")) {
        drop(outcome["dropped"], outcome["detail"]);
      } else {
        json& row = outcome["row"];
        const std::string& text = row["text"].get_ref<const std::string&>();
        const std::size_t length = count_characters(text);
        if (length < query.min_characters) {
          drop("too short", fmt::format("{} characters", length));
        } else if (const auto like = duplicates.find_or_accept(text)) {
          drop("near-duplicate", "of " + result.rows[*like]["id"].get<std::string>());
        } else {
          result.rows.push_back(std::move(row));
          draw.accept(drawn->stratum);
        }
      }
    }
    asked += context.client.requests() > before;
  }
  if (result.rows.empty()) {
    throw std::runtime_error(
        candidates.empty()
            ? fmt::format("arXiv lists no papers of {} from {} to {}", fmt::join(query.categories, ", "),
                          iso_date(query.from), iso_date(query.to))
            : fmt::format("none of {} papers is usable: {}", candidates.size(), reasons(result.dropped)));
  }
  papers.settle();
  context.observer.progress({"papers", result.rows.size(), result.rows.size(), 0});
  return result;
}

Gathered rebuild_arxiv(FetchContext& context, const json& manifest, const ArxivServers& servers,
                       const PaperReader& reader) {
  Gathered result;
  result.settings = manifest.at("settings");
  result.provenance = manifest.at("provenance");
  const Math math = query_of(result.settings).math;
  const json& documents = manifest.at("documents");
  result.wanted = documents.size();
  PaperFetcher papers(context, servers, reader);
  for (const json& document : documents) {
    context.observer.progress(
        {"papers", result.rows.size() + result.dropped.size(), documents.size(),
         static_cast<double>(documents.size() - result.rows.size() - result.dropped.size()) *
             context.client.pace().count()});
    json metadata;
    try {
      for (const char* name :
           {"id", "version", "published", "title", "categories", "primary_category", "category", "licence"})
        metadata[name] = document.at(name);
      metadata["abstract"] = document.value("abstract", "");
      std::string id;
      int version;
      split_arxiv_id(metadata["id"].get<std::string>(), id, version);  // it becomes part of a URL
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("the manifest's document {} can't be fetched: {}",
                                           result.rows.size() + result.dropped.size() + 1, error.what()));
    }
    const std::string id = metadata["id"], source = document.value("source", ""),
                      digest = document.value("sha256", "");
    json outcome = papers.get(metadata, paper_form(source), math);
    if (outcome.contains("dropped")) {
      result.dropped.push_back({id, outcome["dropped"], outcome["detail"]});
    } else if (const std::string now = Sha256::of(outcome["row"]["text"].get_ref<const std::string&>());
               now != digest) {
      result.dropped.push_back(
          {id, "differs from the manifest", fmt::format("SHA-256 {} instead of {}", now, digest)});
    } else {
      result.rows.push_back(std::move(outcome["row"]));
    }
  }
  papers.settle();
  // Rebuilt without a loss it is the same corpus, and the manifest says the same of it.
  if (result.dropped.empty()) result.dropped = dropped_of(manifest);
  return result;
}

}  // namespace deciban
