#include "reports/collection.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <numbers>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <unordered_map>

#include "reports/display_text.h"
#include "reports/record_file.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr double kSameResult = 1e-6;    // relative difference that two machines may have for one key
constexpr std::size_t kFewReasons = 5;  // failed documents whose reasons are kept

std::string label_of(const Record& record, const char* name) {
  const auto found = record.labels.find(name);
  return found == record.labels.end() ? "" : found->second;
}

// What makes two records belong to one line-up.
using Identity = std::tuple<std::string, std::string, std::string, std::string, std::string, std::string,
                            std::string, std::string>;
Identity identity_of(const LineUp& lineup) {
  return {lineup.task, lineup.label,        lineup.windowing,     lineup.start,
          lineup.mode, lineup.model.digest, lineup.model.kernels, lineup.model.device};
}

// Where documents and corpora of one collection get their numbers.
class Index {
 public:
  explicit Index(Collection& collection) : collection_(collection) {}

  std::uint32_t corpus(const std::string& name, const std::string& digest) {
    for (std::size_t i = 0; i < collection_.corpora.size(); ++i) {
      CorpusEntry& entry = collection_.corpora[i];
      if (entry.name != name || (entry.digest != digest && !entry.digest.empty() && !digest.empty()))
        continue;
      if (entry.digest.empty()) entry.digest = digest;
      return static_cast<std::uint32_t>(i);
    }
    collection_.corpora.push_back({name, digest});
    return static_cast<std::uint32_t>(collection_.corpora.size() - 1);
  }

  // Of a new document the entry holds no more than this.
  std::uint32_t document(std::uint32_t corpus, const std::string& id) {
    std::string place = std::to_string(corpus);
    place += ':';
    place += id;
    const auto [found, is_new] = documents_.try_emplace(std::move(place), collection_.documents.size());
    if (is_new) {
      DocumentEntry& entry = collection_.documents.emplace_back();
      entry.corpus = corpus;
      entry.id = id;
    }
    return static_cast<std::uint32_t>(found->second);
  }

 private:
  Collection& collection_;
  std::unordered_map<std::string, std::size_t> documents_;
};

// One source: a run's directory or a file of records.
class SourceReader {
 public:
  explicit SourceReader(const fs::path& path) : path_(path), index_(part_) {}

  Collection read() {
    part_.sources = {path_.string()};
    std::vector<fs::path> files{path_};
    RunFile run;
    if (fs::is_directory(path_)) {
      files = record_files(path_);
      run = read_run_files(path_);
    }
    for (const RunCorpus& corpus : run.corpora) index_.corpus(corpus.name, corpus.digest);
    part_.tasks = run.tasks;
    part_.run_files = {std::move(run)};
    if (path_.filename() == "costs.jsonl") files.clear();
    for (const fs::path& file : files) read_record_file(file, [this](const Record& record) { take(record); });
    for (LineUp& lineup : part_.lineups) {
      std::sort(lineup.scores.begin(), lineup.scores.end(),
                [](const DocumentScore& a, const DocumentScore& b) { return a.document < b.document; });
    }
    return std::move(part_);
  }

 private:
  struct Places {
    std::unordered_map<std::uint32_t, std::size_t> scores;
    std::unordered_map<std::uint32_t, std::string> failures;
  };

  void take(const Record& record) {
    const std::size_t at = lineup_of(record);
    LineUp& lineup = part_.lineups[at];
    const std::size_t known = part_.documents.size();
    const std::uint32_t document = index_.document(corpus_of(record.corpus), record.document);
    if (document == known) {
      DocumentEntry& fresh = part_.documents.back();
      fresh.bytes = record.bytes;
      fresh.characters = record.characters;
      fresh.published = label_of(record, "published");
      fresh.category = label_of(record, "category");
      fresh.source = label_of(record, "source");
      fresh.licence = label_of(record, "licence");
    }
    if (record.status != "ok") {
      if (!places_[at].scores.contains(document)) places_[at].failures[document] = record.reason;
      settle_failures(at);
      return;
    }
    if (places_[at].failures.erase(document) > 0) settle_failures(at);
    DocumentEntry& entry = part_.documents[document];
    if (entry.bytes == 0) entry.bytes = record.bytes, entry.characters = record.characters;
    const auto [place, is_new] = places_[at].scores.try_emplace(document, lineup.scores.size());
    if (is_new) lineup.scores.emplace_back();
    lineup.scores[place->second] = {document,
                                    -record.logprob / std::numbers::ln2,
                                    record.seconds,
                                    record.tokens,
                                    record.scored_tokens,
                                    record.bytes,
                                    record.unscored_bytes,
                                    record.lossy_bytes,
                                    score_key(record.key)};
    if (lineup.text) return;  // its measures follow from bits, bytes and tokens
    for (const auto& [name, measure] : record.measures) {
      auto& values = lineup.measures[name];
      if (!is_new) std::erase_if(values, [&](const auto& value) { return value.first == document; });
      values.emplace_back(document, measure);
    }
  }

  void settle_failures(std::size_t at) {
    LineUp& lineup = part_.lineups[at];
    lineup.failed = places_[at].failures.size();
    lineup.failures.clear();
    for (const auto& [document, reason] : places_[at].failures) {
      if (lineup.failures.size() == kFewReasons) break;
      lineup.failures.push_back(fmt::format("{}: {}", part_.documents[document].id, reason));
    }
    std::sort(lineup.failures.begin(), lineup.failures.end());
  }

  std::uint32_t corpus_of(const std::string& name) {
    const auto [found, is_new] = corpora_.try_emplace(name, 0);
    if (is_new) found->second = index_.corpus(name, digest_of(name));
    return found->second;
  }

  std::string digest_of(const std::string& corpus) const {
    for (const RunCorpus& entry : part_.run_files[0].corpora) {
      if (entry.name == corpus) return entry.digest;
    }
    return "";
  }

  std::size_t lineup_of(const Record& record) {
    const std::string start = label_of(record, "start"), mode = label_of(record, "mode");
    std::string setting;
    for (const std::string* part : {&record.task, &record.model, &record.windowing, &start, &mode})
      setting += *part, setting += '\n';
    const auto [found, is_new] = lineups_.try_emplace(std::move(setting), part_.lineups.size());
    if (!is_new) return found->second;
    LineUp lineup;
    lineup.label = lineup.name = record.model;
    lineup.task = record.task;
    lineup.windowing = record.windowing;
    lineup.start = start;
    lineup.mode = mode;
    lineup.compressor = record.tokens == 0 && record.measures.contains("header_bytes");
    lineup.text =
        lineup.compressor || (!about_length(record.task) &&
                              (record.measures.empty() || record.measures.contains("bits_per_byte")));
    lineup.runs = part_.sources;
    for (const RunModel& model : part_.run_files[0].models) {
      if (model.label != record.model || (!mode.empty() && !model.mode.empty() && model.mode != mode))
        continue;
      lineup.model = model;
      const auto window = model.windows.find(record.windowing);
      if (window != model.windows.end()) lineup.role = window->second;
    }
    part_.lineups.push_back(std::move(lineup));
    places_.emplace_back();
    return found->second;
  }

  fs::path path_;
  Collection part_;
  Index index_;
  std::unordered_map<std::string, std::size_t> lineups_;
  std::unordered_map<std::string, std::uint32_t> corpora_;
  std::vector<Places> places_;
};

class Joiner {
 public:
  Joiner() : index_(all_) {}

  void add(Collection part) {
    std::vector<std::uint32_t> corpora, documents;
    for (const CorpusEntry& entry : part.corpora) corpora.push_back(index_.corpus(entry.name, entry.digest));
    for (DocumentEntry& entry : part.documents) {
      entry.corpus = corpora[entry.corpus];
      documents.push_back(index_.document(entry.corpus, entry.id));
      DocumentEntry& known = all_.documents[documents.back()];
      if (known.bytes == 0) known.bytes = entry.bytes, known.characters = entry.characters;
      if (known.published.empty()) known.published = entry.published;
      if (known.category.empty()) known.category = entry.category;
      if (known.source.empty()) known.source = entry.source;
      if (known.licence.empty()) known.licence = entry.licence;
      if (known.bytes != entry.bytes && entry.bytes != 0) clashing_.insert(documents.back());
    }
    for (LineUp& lineup : part.lineups) {
      for (DocumentScore& score : lineup.scores) score.document = documents[score.document];
      for (auto& [name, values] : lineup.measures) {
        for (auto& value : values) value.first = documents[value.first];
      }
      merge(std::move(lineup));
    }
    all_.tasks.merge(part.tasks);
    std::move(part.run_files.begin(), part.run_files.end(), std::back_inserter(all_.run_files));
    std::move(part.sources.begin(), part.sources.end(), std::back_inserter(all_.sources));
  }

  Collection finish() {
    for (LineUp& lineup : all_.lineups) {
      const auto by_document = [](const auto& a, const auto& b) { return a.document < b.document; };
      std::sort(lineup.scores.begin(), lineup.scores.end(), by_document);
      for (auto& [name, values] : lineup.measures) {
        std::sort(values.begin(), values.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
      }
      drop_clashing(lineup);
    }
    warn();
    name_apart();
    return std::move(all_);
  }

 private:
  void merge(LineUp&& lineup) {
    const auto [found, is_new] = lineups_.try_emplace(identity_of(lineup), all_.lineups.size());
    if (is_new) {
      all_.lineups.push_back(std::move(lineup));
      return;
    }
    LineUp& known = all_.lineups[found->second];
    std::unordered_map<std::uint32_t, std::size_t> places;
    for (std::size_t i = 0; i < known.scores.size(); ++i) places[known.scores[i].document] = i;
    std::set<std::uint32_t> again;
    for (const DocumentScore& score : lineup.scores) {
      const auto [place, is_first] = places.try_emplace(score.document, known.scores.size());
      if (is_first) {
        known.scores.push_back(score);
        continue;
      }
      again.insert(score.document);
      const DocumentScore& old = known.scores[place->second];
      if (old.key != score.key) continue;  // not said to be equal
      const double difference = std::abs(old.bits - score.bits) / std::max(std::abs(old.bits), 1e-300);
      if (!(difference > kSameResult)) continue;
      ++disagreements_;
      if (difference > largest_) {
        largest_ = difference;
        where_ = fmt::format("{}, document {} of {}: {:.6g} and {:.6g} bits", known.label,
                             all_.documents[score.document].id,
                             all_.corpora[all_.documents[score.document].corpus].name, old.bits, score.bits);
      }
    }
    for (auto& [name, values] : lineup.measures) {
      for (auto& value : values) {
        if (!again.contains(value.first)) known.measures[name].push_back(value);
      }
    }
    known.failed += lineup.failed;
    for (const std::string& reason : lineup.failures) {
      if (known.failures.size() < kFewReasons) known.failures.push_back(reason);
    }
    for (const std::string& run : lineup.runs) known.runs.push_back(run);
    known.model.peak_memory = std::max(known.model.peak_memory, lineup.model.peak_memory);
  }

  void drop_clashing(LineUp& lineup) const {
    if (clashing_.empty()) return;
    std::erase_if(lineup.scores, [&](const auto& score) { return clashing_.contains(score.document); });
    for (auto& [name, values] : lineup.measures)
      std::erase_if(values, [&](const auto& value) { return clashing_.contains(value.first); });
  }

  void warn() {
    if (!clashing_.empty()) {
      const DocumentEntry& first = all_.documents[*clashing_.begin()];
      all_.warnings.push_back(fmt::format(
          "{} documents have one name but different sizes in different runs, the first being {} of {}; "
          "they are left out",
          clashing_.size(), first.id, all_.corpora[first.corpus].name));
    }
    std::map<std::string, std::size_t> names;
    for (const CorpusEntry& corpus : all_.corpora) ++names[corpus.name];
    for (const auto& [name, count] : names) {
      if (count < 2) continue;
      all_.warnings.push_back(fmt::format(
          "{} corpora called {} hold different texts (their digests differ); they are never compared", count,
          name));
    }
    if (disagreements_ > 0) {
      all_.warnings.push_back(
          fmt::format("{} scores that should be the same differ between runs, by up to {:.2g} of their size "
                      "({}); those of the "
                      "run named first are shown",
                      disagreements_, largest_, where_));
    }
    for (const LineUp& lineup : all_.lineups) {
      if (lineup.failed == 0) continue;
      all_.warnings.push_back(
          fmt::format("{}: {} {} could not be scored ({})", lineup.label, lineup.failed,
                      lineup.failed == 1 ? "document" : "documents",
                      lineup.failures.empty() ? "no reason is given" : lineup.failures[0]));
    }
    for (std::string& sentence : missing_parts(all_.run_files)) all_.warnings.push_back(std::move(sentence));
    std::set<std::string> versions;
    for (const RunFile& run : all_.run_files) {
      for (const RunSitting& sitting : run.sittings) {
        if (!sitting.commit.empty()) versions.insert(sitting.version + " (" + sitting.commit + ")");
      }
    }
    if (versions.size() > 1) {
      std::string words;
      for (const std::string& version : versions) words += (words.empty() ? "" : ", ") + version;
      all_.warnings.push_back(
          fmt::format("the runs were made by {} versions of deciban: {}", versions.size(), words));
    }
  }

  // Adds to equal names what tells them apart: the mode, the kernels, the run.
  void name_apart() {
    const auto clashes = [&] {
      std::map<std::tuple<std::string, std::string, std::string, std::string>, std::vector<LineUp*>> groups;
      for (LineUp& lineup : all_.lineups)
        groups[{lineup.task, lineup.windowing, lineup.start, lineup.name}].push_back(&lineup);
      std::vector<std::vector<LineUp*>> result;
      for (auto& [key, group] : groups) {
        if (group.size() > 1) result.push_back(group);
      }
      return result;
    };
    const auto tell_apart = [&](auto part) {
      for (const std::vector<LineUp*>& group : clashes()) {
        std::set<std::string> parts;
        for (const LineUp* lineup : group) parts.insert(part(*lineup));
        if (parts.size() < 2) continue;
        for (LineUp* lineup : group) {
          if (const std::string text = part(*lineup); !text.empty()) lineup->name += " " + text;
        }
      }
    };
    tell_apart([](const LineUp& lineup) { return lineup.mode; });
    tell_apart([](const LineUp& lineup) { return lineup.model.device; });
    tell_apart([](const LineUp& lineup) { return lineup.model.kernels; });
    tell_apart([](const LineUp& lineup) {
      return lineup.runs.empty() ? "" : fmt::format("({})", fs::path(lineup.runs[0]).filename().string());
    });
    tell_apart([](const LineUp& lineup) { return lineup.model.digest.substr(0, 8); });
    for (const std::vector<LineUp*>& group : clashes()) {
      for (std::size_t i = 1; i < group.size(); ++i) group[i]->name += fmt::format(" #{}", i + 1);
    }
  }

  Collection all_;
  Index index_;
  std::map<Identity, std::size_t> lineups_;
  std::set<std::uint32_t> clashing_;
  std::size_t disagreements_ = 0;
  double largest_ = 0;
  std::string where_;
};

bool is_run(const fs::path& directory) {
  return !record_files(directory).empty() || fs::exists(directory / "costs.jsonl") ||
         fs::exists(directory / "gates.jsonl");
}

// The runs under a path: itself, or, of a directory that is no run, those directly in it.
std::vector<fs::path> runs_under(const fs::path& path) {
  if (!fs::exists(path)) throw std::runtime_error(fmt::format("{} does not exist", path.string()));
  if (!fs::is_directory(path) || is_run(path)) return {path};
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory() && is_run(entry.path())) runs.push_back(entry.path());
  }
  std::sort(runs.begin(), runs.end());
  if (runs.empty()) {
    throw std::runtime_error(fmt::format(
        "{} is no run: it has no records*.jsonl, costs.jsonl or gates.jsonl, nor has a directory in it",
        path.string()));
  }
  return runs;
}

}  // namespace

ScoreKey score_key(std::string_view key) {
  ScoreKey result{};
  const bool hex = key.size() == 32 && key.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (hex) {
    for (std::size_t i = 0; i < 32; ++i) {
      const char c = key[i];
      result[i / 16] = result[i / 16] << 4 | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return result;
  }
  // FNV-1a, twice from different beginnings.
  result = {0xcbf29ce484222325, 0x84222325cbf29ce4};
  for (std::uint64_t& word : result) {
    for (const char c : key) word = (word ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return result;
}

bool about_length(std::string_view task) { return task.starts_with("context:") || task == "recall"; }

bool same_start(const LineUp& a, const LineUp& b) {
  if (a.start == b.start) return true;
  if (a.start.empty() || b.start.empty() || a.start == "none" || b.start == "none") return false;
  return a.model.tokenizer_digest != b.model.tokenizer_digest;
}

Collection read_collection(std::span<const fs::path> paths) {
  std::vector<fs::path> sources;
  for (const fs::path& path : paths) {
    for (const fs::path& run : runs_under(path)) sources.push_back(run);
  }
  // Parsing dominates: sources are read side by side, then joined in their order.
  std::vector<Collection> parts(sources.size());
  std::vector<std::exception_ptr> errors(sources.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < sources.size(); i = next++) {
      try {
        parts[i] = SourceReader(sources[i]).read();
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t count =
        std::min<std::size_t>(std::max(1u, std::thread::hardware_concurrency()), sources.size());
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back(work);
    work();
  }
  Joiner joiner;
  const std::vector<CostPoint> costs = read_costs(sources);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (errors[i]) std::rethrow_exception(errors[i]);
    joiner.add(std::move(parts[i]));
  }
  Collection all = joiner.finish();
  all.costs = costs;
  all.gates = read_gates(sources);
  return all;
}

}  // namespace deciban
