// Splits of task data sets from the Hugging Face datasets server, as rows in files of their own.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "datasets/fetch_source.h"
#include "datasets/hub.h"

namespace deciban {

struct TaskSplit {
  std::string dataset, config, split;
  std::filesystem::path target;  // NAME.jsonl
};

struct FetchedSplit {
  std::size_t rows = 0;
  std::string revision, licence, digest;  // commit of the data set; of its card; SHA-256 of the file
};

// Where it is written down what a file of rows is and where it came from: "test.source.json" beside
// "test.jsonl".
std::filesystem::path split_source_path(const std::filesystem::path& target);
// What a fetch of this split depends on, for its ledger.
nlohmann::json settings_of(const TaskSplit& split);

// Fetches all rows, each line as the server gave the row, keys in their order; the ledger remembers pages, so
// that what was interrupted goes on.  Writes the file and what is known of it, whole or not at all.  Throws
// FetchError, FetchStopped, and std::runtime_error if the data set changed meanwhile, naming both commits.
FetchedSplit fetch_task_split(FetchContext& context, const TaskSplit& split, const HubServers& servers,
                              const std::string& token);

}  // namespace deciban
