// Runs for tests of reports: records of made-up models on made-up documents, in directories of their own.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/random.h"
#include "reports/record.h"
#include "tests/scratch_directory.h"

namespace deciban {

struct SampleModel {
  std::string name;
  double level = 1;  // bits per byte
  std::string windowing = "whole", start = "0", digest = "d1";
};

struct SampleRun {
  std::vector<SampleModel> models;
  std::vector<std::string> corpora{"wiki", "code"};
  std::size_t documents = 20;  // of each corpus
  std::string corpus_digest = "c";
  std::uint64_t seed = 1;
  std::string document_prefix = "doc";
};

inline std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

inline Record sample_record(const SampleRun& run, const SampleModel& model, const std::string& corpus,
                            std::size_t d) {
  // A document's length and difficulty are its own, whatever the model and run.
  Random own(d * 7919 + corpus.size() * 31 + 5);
  Random noise(run.seed + d * 104729 + std::hash<std::string>{}(model.name + corpus));
  Record record;
  record.key =
      fmt::format("{:016x}{:016x}", std::hash<std::string>{}(model.name + model.windowing + model.digest),
                  d * 1000003 + corpus.size());
  record.model = model.name;
  record.task = "compression";
  record.windowing = model.windowing;
  record.corpus = corpus;
  record.document = fmt::format("{}{}", run.document_prefix, d);
  record.bytes = 500 + own.below(3000);
  record.characters = record.bytes;
  record.tokens = record.scored_tokens = record.bytes / 4;
  const double difficulty = 0.8 + 0.4 * own.unit();
  record.logprob = -std::log(2.0) * static_cast<double>(record.bytes) * model.level * difficulty *
                   (0.97 + 0.06 * noise.unit());
  record.seconds = static_cast<double>(record.bytes) / 1e5;
  record.labels = {
      {"start", model.start}, {"mode", "f32"}, {"published", d % 2 ? "2026-03-02" : "2026-04-01"}};
  record.measures = {{"bits_per_byte", {-record.logprob / std::log(2.0), static_cast<double>(record.bytes)}}};
  return record;
}

inline void write_run(const std::filesystem::path& directory, const SampleRun& run) {
  std::filesystem::create_directories(directory);
  std::ofstream records(directory / "records.jsonl", std::ios::binary),
      info(directory / "run.json", std::ios::binary);
  std::string models, corpora;
  std::size_t i = 0;
  for (const SampleModel& model : run.models) {
    models += fmt::format(
        R"({}{{"label":{},"digest":"{}","mode":"f32","tokenizer_digest":"t","parameters":{},"vocabulary":256,)"
        R"("width":64,"device":"cpu","kernels":"avx2","peak_memory_bytes":{},"windows":{{"{}":""}}}})",
        models.empty() ? "" : ",", json_text(model.name), model.digest, 1000000 * (i + 1), 50000000 * (i + 1),
        model.windowing);
    ++i;
  }
  for (const std::string& corpus : run.corpora) {
    corpora += fmt::format(R"({}{{"name":{},"digest":"{}{}","kind":"jsonl","documents":{},"bytes":1}})",
                           corpora.empty() ? "" : ",", json_text(corpus), run.corpus_digest, corpus.size(),
                           run.documents);
    for (const SampleModel& model : run.models) {
      for (std::size_t d = 0; d < run.documents; ++d)
        records << to_json_line(sample_record(run, model, corpus, d)) << '\n';
    }
  }
  info << fmt::format(
      R"({{"models":[{}],"corpora":[{}],"tasks":{{}},"runs":[{{"started":"2026-11-23T10:00:00Z","command":["deciban"],)"
      R"("version":"0.1.0","commit":"abc","machine":{{"cpu":"A CPU","cpus":2,"isa":"avx2"}},)"
      R"("policies":{{"start":"bos"}}}}]}})",
      models, corpora);
}

}  // namespace deciban
