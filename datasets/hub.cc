#include "datasets/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "datasets/curl_parts.h"
#include "datasets/sample.h"
#include "datasets/sha256.h"

namespace deciban {

using nlohmann::json;

void check_dataset_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 120 && std::count(name.begin(), name.end(), '/') <= 1 &&
              name.front() != '/' && name.back() != '/' && name.find("..") == std::string::npos;
  for (const char c : name) {
    good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    std::string_view("-_./").find(c) != std::string_view::npos);
  }
  if (!good)
    throw std::invalid_argument(
        fmt::format("'{}' is not the name of a data set; write hub:OWNER/NAME", name));
}

HubRows::HubRows(PoliteClient& client, HubServers servers, std::string dataset, std::string token)
    : client_(client), servers_(std::move(servers)), dataset_(std::move(dataset)), token_(std::move(token)) {
  check_dataset_name(dataset_);
}

json HubRows::ask(const std::string& url, const std::string& purpose, int attempts, std::string* revision) {
  PoliteRequest request;
  request.url = url;
  request.attempts = attempts;
  if (!token_.empty()) request.headers.push_back("Authorization: Bearer " + token_);
  request.objection = [](const Answer& answer) -> std::string {
    return json::accept(answer.body) ? "" : "the answer is not JSON";
  };
  const Answer answer = client_.get(request);
  if (revision) *revision = answer.revision;
  const json body = json::parse(answer.body, nullptr, false);
  body_ = answer.body;
  if (answer.status == 200) return body;
  const std::string said = body.is_object() && body.contains("error") && body["error"].is_string()
                               ? ": " + body["error"].get<std::string>()
                               : "";
  const bool hidden = answer.status == 401 || answer.status == 403 || answer.status == 404;
  throw FetchError(
      fmt::format("{}: no {}: the server answers {}{}{}", dataset_, purpose, describe_status(answer.status),
                  said,
                  !hidden          ? ""
                  : token_.empty() ? " (if it is private or gated, set HF_TOKEN; else look at the name)"
                                   : " (look at the name, and at what HF_TOKEN may read)"),
      answer.status, true);
}

HubRows::Card HubRows::card() {
  const json body = ask(fmt::format("{}/api/datasets/{}", servers_.hub, dataset_), "description", 0, nullptr);
  Card card{"", "unknown"};
  if (!body.is_object()) return card;
  if (body.contains("sha") && body["sha"].is_string()) card.revision = body["sha"];
  const json data = body.value("cardData", json());
  if (data.is_object() && data.contains("license")) {
    const json& licence = data["license"];
    if (licence.is_string()) card.licence = licence;
    if (licence.is_array() && licence.size() == 1 && licence[0].is_string()) card.licence = licence[0];
  }
  return card;
}

std::vector<HubSplit> HubRows::splits() {
  const json body = ask(fmt::format("{}/splits?dataset={}", servers_.rows, url_encoded(dataset_)),
                        "list of splits", 0, nullptr);
  std::vector<HubSplit> result;
  const json list = body.is_object() ? body.value("splits", json()) : json();
  for (const json& item : list.is_array() ? list : json::array()) {
    if (!item.is_object()) continue;
    HubSplit split{item.value("config", ""), item.value("split", "")};
    if (!split.config.empty() && !split.split.empty()) result.push_back(std::move(split));
  }
  if (result.empty()) throw std::runtime_error(fmt::format("{}: the server lists no splits", dataset_));
  return result;
}

HubPage HubRows::page(const HubSplit& split, std::uint64_t offset, std::size_t length) {
  HubPage page;
  const std::string url =
      fmt::format("{}/rows?dataset={}&config={}&split={}&offset={}&length={}", servers_.rows,
                  url_encoded(dataset_), url_encoded(split.config), url_encoded(split.split), offset, length);
  json body;
  try {
    body = ask(url, "rows", length > 1 ? 3 : 0, &page.revision);
  } catch (const FetchError& error) {
    // Pages of long rows are too much for the server.
    if (length <= 1 || !error.reached || (error.status != 0 && error.status < 500)) throw;
    page = this->page(split, offset, length / 2);
    if (page.rows.size() < length / 2) return page;  // the split's end
    HubPage rest = this->page(split, offset + length / 2, length - length / 2);
    if (rest.revision != page.revision)
      throw std::runtime_error(fmt::format("{}: it changed while it was read; begin anew", dataset_));
    std::move(rest.rows.begin(), rest.rows.end(), std::back_inserter(page.rows));
    std::move(rest.texts.begin(), rest.texts.end(), std::back_inserter(page.texts));
    return page;
  }
  const auto fail = [&](const std::string& what) {
    throw std::runtime_error(
        fmt::format("{} {}/{} from row {} on: {}", dataset_, split.config, split.split, offset, what));
  };
  if (!body.is_object() || !body.contains("rows") || !body["rows"].is_array() ||
      !body.contains("num_rows_total") || !body["num_rows_total"].is_number_unsigned())
    fail("the answer has no rows or no num_rows_total");
  if (body.value("partial", json(false)) == true)
    fail("the server knows only the beginning of this split; fetch its files instead (--file)");
  page.total = body["num_rows_total"];
  std::uint64_t expected = offset;
  for (json& item : body["rows"]) {
    if (!item.is_object() || !item.contains("row") || !item["row"].is_object())
      fail("the answer holds something else than rows");
    if (const json index = item.value("row_idx", json()); index != expected)
      fail(fmt::format("row {} comes where {} was expected", index.dump(), expected));
    const json cut = item.value("truncated_cells", json::array());
    if (!cut.empty()) {
      fail(fmt::format(
          "row {}: the server cut {}; a text that is not whole is no use: fetch the file instead (--file)",
          expected, cut.dump()));
    }
    page.rows.push_back(std::move(item["row"]));
    ++expected;
  }
  const std::uint64_t due = std::min<std::uint64_t>(length, page.total - std::min(page.total, offset));
  const auto ordered = nlohmann::ordered_json::parse(body_);
  for (const auto& item : ordered["rows"]) page.texts.push_back(item["row"].dump());
  if (page.rows.size() != due) fail(fmt::format("{} rows came instead of {}", page.rows.size(), due));
  return page;
}

json settings_of(const HubQuery& query) {
  return {{"source", "hub"},
          {"dataset", query.dataset},
          {"config", query.config},
          {"split", query.split},
          {"count", query.count},
          {"seed", query.seed},
          {"text_field", query.text_field}};
}

HubQuery hub_query_of(const json& settings) {
  try {
    return {settings.at("dataset").get<std::string>(), settings.at("config").get<std::string>(),
            settings.at("split").get<std::string>(),   settings.at("count").get<std::size_t>(),
            settings.at("seed").get<std::uint64_t>(),  settings.at("text_field").get<std::string>()};
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("the settings are not those of a hub data set: {}", error.what()));
  }
}

namespace {

constexpr std::size_t kPage = 100;  // the server gives no more at once

std::vector<HubSplit> chosen_splits(FetchContext& context, HubRows& hub, const HubQuery& query) {
  const json& known = context.ledger.once("splits", [&] {
    json list = json::array();
    for (const HubSplit& split : hub.splits()) list.push_back({split.config, split.split});
    return list;
  });
  std::vector<HubSplit> chosen;
  std::string all;
  for (const json& item : known) {
    const HubSplit split{item[0], item[1]};
    all += fmt::format("{}{}/{}", all.empty() ? "" : ", ", split.config, split.split);
    if ((query.config.empty() || query.config == split.config) &&
        (query.split.empty() || query.split == split.split))
      chosen.push_back(split);
  }
  if (chosen.empty()) {
    throw std::invalid_argument(fmt::format("{} has no {}/{}; it has {}", query.dataset,
                                            query.config.empty() ? "*" : query.config,
                                            query.split.empty() ? "*" : query.split, all));
  }
  return chosen;
}

std::string columns_of(const json& row) {
  std::string names;
  for (const auto& [name, value] : row.items()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

Gathered fetch_hub(FetchContext& context, const HubQuery& query, const HubServers& servers,
                   const std::string& token) {
  HubRows hub(context.client, servers, query.dataset, token);
  const json card = context.ledger.once("card", [&]() -> json {
    const HubRows::Card read = hub.card();
    return {{"revision", read.revision}, {"licence", read.licence}};
  });
  const std::vector<HubSplit> splits = chosen_splits(context, hub, query);
  std::string revision = card.at("revision");
  Gathered result;
  result.settings = settings_of(query);
  for (const HubSplit& split : splits) {
    const std::string place = split.config + "/" + split.split;
    const auto page = [&](std::uint64_t offset) -> const json& {
      return context.ledger.once(fmt::format("rows {} {}", place, offset), [&]() -> json {
        HubPage read = hub.page(split, offset, kPage);
        return {{"total", read.total}, {"revision", read.revision}, {"rows", std::move(read.rows)}};
      });
    };
    const std::uint64_t total = page(0).at("total");
    std::set<std::uint64_t> drawn;
    if (query.count > 0 && query.count < total) {
      std::vector<std::string> ids;
      for (std::uint64_t i = 0; i < total; ++i) ids.push_back(fmt::format("{}/{}", place, i));
      const std::vector<std::size_t> order = draw_order(ids, query.seed);
      drawn.insert(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(query.count));
    }
    const std::uint64_t wanted = drawn.empty() ? total : drawn.size();
    std::uint64_t got = 0;
    for (std::uint64_t offset = 0; offset < total; offset += kPage) {
      if (!drawn.empty()) {
        const auto next = drawn.lower_bound(offset);
        if (next == drawn.end() || *next >= offset + kPage) continue;
      }
      const json& read = page(offset);
      const std::string said = read.at("revision");
      if (revision.empty()) revision = said;
      if (!said.empty() && said != revision) {
        throw std::runtime_error(
            fmt::format("{}: it changed from commit {} to {} while it was read; remove what was "
                        "fetched of it and begin anew",
                        query.dataset, revision, said));
      }
      for (std::size_t i = 0; i < read.at("rows").size(); ++i) {
        const std::uint64_t index = offset + i;
        if (!drawn.empty() && !drawn.contains(index)) continue;
        json row = read["rows"][i];
        if (result.rows.empty()) {
          result.text_field = !query.text_field.empty() ? query.text_field
                              : row.contains("text")    ? "text"
                                                        : "content";
        }
        if (!row.contains(result.text_field) || !row[result.text_field].is_string()) {
          throw std::runtime_error(
              fmt::format("{} {} row {}: there is no text in '{}'; it has {} (--column names another)",
                          query.dataset, place, index, result.text_field, columns_of(row)));
        }
        if (!row.contains("id")) row["id"] = fmt::format("{}/{}", place, index);
        if (row["id"].is_number_integer()) row["id"] = row["id"].dump();
        if (!row["id"].is_string()) row["id"] = fmt::format("{}/{}", place, index);
        row["config"] = split.config;
        row["split"] = split.split;
        row["row"] = index;
        row["source"] = "hub";
        if (!row.contains("licence") || !row["licence"].is_string()) row["licence"] = card.at("licence");
        // Corpora are read from "text" or "content".
        if (result.text_field != "text" && result.text_field != "content") {
          row["text"] = row[result.text_field];
          row.erase(result.text_field);
        }
        result.rows.push_back(std::move(row));
      }
      got = drawn.empty()
                ? std::min(offset + kPage, total)
                : static_cast<std::uint64_t>(std::distance(drawn.begin(), drawn.lower_bound(offset + kPage)));
      context.observer.progress(
          {place, got, wanted,
           static_cast<double>((wanted - got + kPage - 1) / kPage) * context.client.pace().count()});
    }
  }
  if (result.text_field != "content") result.text_field = "text";
  result.provenance = {{"revision", revision}, {"licence", card.at("licence")}};
  if (result.rows.empty()) throw std::runtime_error(fmt::format("{} has no rows", query.dataset));
  return result;
}

Gathered rebuild_hub(FetchContext& context, const json& manifest, const HubServers& servers,
                     const std::string& token) {
  Gathered fresh = fetch_hub(context, hub_query_of(manifest.at("settings")), servers, token);
  std::map<std::string, std::string> digests;
  for (const json& row : fresh.rows) {
    digests[row["id"].get<std::string>()] = Sha256::of(row[fresh.text_field].get_ref<const std::string&>());
  }
  std::set<std::string> good;
  for (const json& document : manifest.at("documents")) {
    const std::string id = document.at("id");
    const auto found = digests.find(id);
    if (found != digests.end() && found->second == document.at("sha256")) {
      good.insert(id);
    } else {
      fresh.dropped.push_back(
          {id, "differs from the manifest", found == digests.end() ? "the row is gone" : ""});
    }
  }
  std::erase_if(fresh.rows, [&](const json& row) { return !good.contains(row["id"].get<std::string>()); });
  // Another commit may hold the same rows; then the corpus is the same.
  if (fresh.dropped.empty()) fresh.provenance = manifest.at("provenance");
  return fresh;
}

}  // namespace deciban
