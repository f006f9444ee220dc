// Golden files of tasks and the developers' task data, as corpora.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/sha256.h"
#include "datasets/task_rows.h"
#include "evals/template_task.h"
#include "tests/shared_data.h"

namespace deciban {

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

inline std::vector<nlohmann::json> read_lines(const std::filesystem::path& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

inline Corpus rows_corpus(const std::vector<nlohmann::json>& rows, const std::string& name = "rows") {
  Corpus corpus;
  corpus.name = corpus.path = corpus.digest = name;
  corpus.kind = "rows";
  for (const nlohmann::json& row : rows) {
    Document document;
    document.id = std::to_string(corpus.documents.size());
    document.fields = row;
    document.text = row.dump();
    document.digest = Sha256::of(document.text);
    corpus.documents.push_back(std::move(document));
  }
  return corpus;
}

// The rows of a golden file.
inline Corpus golden_rows(const std::vector<nlohmann::json>& lines) {
  std::vector<nlohmann::json> rows;
  for (const nlohmann::json& line : lines) rows.push_back(line.at("doc"));
  return rows_corpus(rows);
}

inline Corpus ordered(Corpus corpus, TaskMode mode, std::uint64_t seed) {
  std::vector<Document> documents;
  for (const std::size_t i : harness_order(mode, corpus.documents.size(), seed))
    documents.push_back(corpus.documents[i]);
  corpus.documents = std::move(documents);
  return corpus;
}

}  // namespace deciban
