// Data sets of the Hugging Face hub: rows through the datasets server, and single files with their hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/fetch_source.h"
#include "datasets/http.h"

namespace deciban {

struct HubServers {
  std::string hub;   // "https://huggingface.co"; HF_ENDPOINT
  std::string rows;  // "https://datasets-server.huggingface.co"
};

struct HubSplit {
  std::string config, split;
};

struct HubPage {
  std::vector<nlohmann::json> rows;  // objects, in order, none missing and none cut
  std::vector<std::string> texts;    // the same as JSON, their keys in the order of the data set's columns
  std::uint64_t total = 0;           // rows of the split
  std::string revision;              // commit of the data set; empty if the server does not say
};

// The datasets server, which gives any data set's rows as JSON.  Not for several threads.
class HubRows {
 public:
  // `token` may be empty; it is sent to these servers only.
  HubRows(PoliteClient& client, HubServers servers, std::string dataset, std::string token);

  // Commit and licence of the data set ("unknown" if its card names none).
  struct Card {
    std::string revision, licence;
  };
  Card card();
  // In the order of the data set's card.
  std::vector<HubSplit> splits();
  // At most `length` (up to 100) rows from row `offset` on.  A page that the server can't make is asked for
  // in halves. Throws FetchError, and std::runtime_error for a cell that the server cut, naming row and
  // column.
  HubPage page(const HubSplit& split, std::uint64_t offset, std::size_t length);

 private:
  nlohmann::json ask(const std::string& url, const std::string& purpose, int attempts, std::string* revision);
  PoliteClient& client_;
  HubServers servers_;
  std::string dataset_, token_;
  std::string body_;  // of the last answer
};

struct HubQuery {
  std::string dataset;        // "OWNER/NAME"
  std::string config, split;  // empty: all
  std::size_t count = 0;      // rows drawn at random from each split; 0: all
  std::uint64_t seed = 1;
  std::string text_field;  // empty: "text", else "content"
};
nlohmann::json settings_of(const HubQuery& query);
HubQuery hub_query_of(const nlohmann::json& settings);

// Rows as they are, with "id" ("CONFIG/SPLIT/ROW" if they have none of their own), config, split, row,
// licence and source
// ("hub").  As fetch_arxiv() it remembers in the ledger and throws; std::invalid_argument for a name that is
// none.
Gathered fetch_hub(FetchContext& context, const HubQuery& query, const HubServers& servers,
                   const std::string& token);

// The rows of a manifest again.  Rows that have become others are dropped as "differs from the manifest".
Gathered rebuild_hub(FetchContext& context, const nlohmann::json& manifest, const HubServers& servers,
                     const std::string& token);

struct HubFile {
  std::string revision;  // commit it was taken from
  std::string digest;    // SHA-256
  bool checked = false;  // against the hub's own, or the one given
  std::uint64_t bytes = 0;
};
// One file of a data set, at `revision` (a branch, tag or commit), to `target`.  `digest`: the SHA-256 that
// it must have, or empty; files in large-file storage are checked against the hub's in any case.  Throws
// FetchError and std::runtime_error naming both digests.
HubFile fetch_hub_file(PoliteClient& client, const HubServers& servers, const std::string& token,
                       const std::string& dataset, const std::string& path, const std::string& revision,
                       const std::string& digest, const std::filesystem::path& target,
                       const DownloadOptions& options);

// Throws std::invalid_argument unless it is "OWNER/NAME" or a "NAME" of letters, digits and "-_.".
void check_dataset_name(const std::string& name);

}  // namespace deciban
