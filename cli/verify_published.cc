#include "cli/verify_published.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "datasets/corpus.h"
#include "evals/compression.h"
#include "evals/published.h"
#include "evals/run.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

// A directory that lives as long as the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "deciban-verify-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error(fmt::format("{}: cannot be made", name));
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

const PublishedCorpus* published(const Corpus& corpus) {
  for (const PublishedCorpus& known : published_corpora()) {
    if (known.digest == corpus.digest) return &known;
  }
  return nullptr;
}

std::optional<std::size_t> published(const ModelInfo& info) {
  const auto models = published_models();
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (models[i].family == info.family && models[i].layers == info.layers && models[i].width == info.width)
      return i;
  }
  return std::nullopt;
}

// Files as they are, folders as the files in them that carry a known corpus's name.
std::vector<Corpus> read_known(const std::vector<std::string>& paths, const Console& console) {
  std::vector<Corpus> corpora;
  const auto take = [&](const std::filesystem::path& path) {
    Corpus corpus = read_corpus(path);
    if (const PublishedCorpus* known = published(corpus)) {
      corpus.name = known->name;
      corpora.push_back(std::move(corpus));
    } else {
      console.warn(fmt::format("{}: no published score is known for this file (SHA-256 {})", path.string(),
                               corpus.digest));
    }
  };
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      take(path);
      continue;
    }
    for (const PublishedCorpus& known : published_corpora()) {
      const auto file = std::filesystem::path(path) / fmt::format("{}.json", known.name);
      if (std::filesystem::exists(file)) take(file);
    }
  }
  return corpora;
}

Table empty_table() {
  Table table;
  table.columns = {{"model", "model", false, false},
                   {"corpus", "corpus", false, false},
                   {"published", "published_nats", true, false},
                   {"here", "nats", true, false},
                   {"difference", "relative_difference", true, false},
                   {"verdict", "verdict", false, false}};
  return table;
}

std::vector<Cell> row(const PublishedScore& score, std::optional<double> here, const std::string& verdict) {
  const auto number = [](double value, int digits) {
    return Cell{fmt::format("{:.{}f}", value, digits), fmt::format("{}", value)};
  };
  const Cell none{"–", "null"};
  const double difference = here ? (*here - score.nats) / score.nats : 0;
  return {{std::string(published_models()[score.model].name), ""},
          {std::string(score.corpus), ""},
          number(score.nats, 3),
          here ? number(*here, 3) : none,
          here ? Cell{fmt::format("{:+.1e}", difference), fmt::format("{}", difference)} : none,
          {verdict, ""}};
}

// Nats of each corpus by its name; of corpora with failed documents nothing.
std::map<std::string, double> score(LanguageModel& model, const std::vector<Corpus>& corpora,
                                    const Console& console) {
  const TemporaryDirectory temporary;
  RunDirectory directory(temporary.path());
  RunOptions options;
  options.start = StartPolicy::parse("0");
  options.stop = &interrupted();
  CompressionTask task;
  Task* const tasks[] = {&task};
  std::vector<const Corpus*> pointers;
  for (const Corpus& corpus : corpora) pointers.push_back(&corpus);
  {
    ProgressLine progress(model.info().name, console.shows_progress());
    run(model, tasks, pointers, options, directory, &progress);
  }
  std::map<std::string, CompensatedSum> sums;
  std::map<std::string, std::size_t> counts;
  for (const Record& record : read_records({temporary.path()})) {
    if (record.status == "ok") {
      sums[record.corpus].add(-record.logprob);
      ++counts[record.corpus];
    } else {
      console.warn(fmt::format("{}/{}: {}", record.corpus, record.document, record.reason));
    }
  }
  std::map<std::string, double> result;
  for (const Corpus& corpus : corpora) {
    if (counts[corpus.name] == corpus.documents.size()) result[corpus.name] = sums[corpus.name].value();
  }
  return result;
}

void say_how_to_get(const Console& console, bool models, bool corpora) {
  if (models) {
    for (const PublishedModel& model : published_models()) {
      console.note(fmt::format("{}: get its .pth from {} and give it with --model", model.name, model.where));
    }
  }
  if (corpora)
    console.note(
        fmt::format("texts: {}; give files or their folder with --corpus", published_corpora_source()));
}

}  // namespace

int verify_published(const VerifyOptions& options, const Console& console) {
  if (options.models.empty() || options.corpora.empty()) {
    Table table = empty_table();
    for (const PublishedScore& score : published_scores())
      table.rows.push_back(row(score, std::nullopt, "skipped"));
    table.notes.push_back("nats over 20 documents each, whole after start token 0, f16 weights");
    console.show(std::move(table));
    say_how_to_get(console, options.models.empty(), options.corpora.empty());
    return kDone;
  }
  const std::vector<Corpus> corpora = read_known(options.corpora, console);
  if (corpora.empty()) {
    console.warn("skipped: none of the given corpora is in the table");
    say_how_to_get(console, false, true);
    return kDone;
  }
  catch_interrupts();
  Table table = empty_table();
  bool wrong = false;
  for (const std::string& spec : options.models) {
    const auto model = open_model(spec, options.model);
    const auto known = published(model->info());
    if (!known) {
      console.warn(fmt::format("skipped: {} ({}, {} layers, width {}) is none of the published models", spec,
                               model->info().family, model->info().layers, model->info().width));
      say_how_to_get(console, true, false);
      continue;
    }
    if (model->info().format != "f32" && model->info().format != "f16") {
      console.warn(
          fmt::format("mode {} rounds more than the published figures' f16; the tolerance holds for f16 and "
                      "f32 (--mode f16)",
                      model->info().format));
    }
    const std::map<std::string, double> nats = score(*model, corpora, console);
    if (interrupted()) return kInterrupted;
    for (const PublishedScore& published_score : published_scores()) {
      if (published_score.model != *known) continue;
      const std::string name(published_score.corpus);
      if (std::none_of(corpora.begin(), corpora.end(),
                       [&](const Corpus& corpus) { return corpus.name == name; }))
        continue;
      const auto here = nats.find(name);
      const bool agrees = here != nats.end() && std::abs(here->second - published_score.nats) <=
                                                    kPublishedTolerance * published_score.nats;
      wrong = wrong || !agrees;
      table.rows.push_back(row(published_score,
                               here == nats.end() ? std::nullopt : std::optional(here->second),
                               here == nats.end() ? "not scored"
                               : agrees           ? "agrees"
                                                  : "DIFFERS"));
    }
  }
  if (table.rows.empty()) return kDone;
  table.notes.push_back(fmt::format("agrees: within {:.0e} of the published sum", kPublishedTolerance));
  console.show(std::move(table));
  return wrong ? kFailed : kDone;
}

}  // namespace deciban
