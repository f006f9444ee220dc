#include "cli/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>

#include "cli/suggest.h"
#include "cli/terminal.h"
#include "datasets/corpus.h"
#include "deciban_version.h"
#include "reports/report.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

// The texts of --corpus, found by the digest that a run recorded; without one, by name.
class Texts {
 public:
  Texts(const std::vector<std::string>& paths, const Collection& collection, const Console& console) {
    for (const std::string& path : paths) {
      auto corpus = std::make_unique<Corpus>(read_corpus(path));
      bool known = false;
      for (const CorpusEntry& entry : collection.corpora) known = known || matches(entry, *corpus);
      if (!known) {
        console.warn(
            fmt::format("{} (SHA-256 {}…) is the text of none of these runs; none of its documents is shown",
                        path, corpus->digest.substr(0, 16)));
      }
      corpora_.push_back(std::move(corpus));
    }
  }

  std::optional<std::string> find(const CorpusEntry& entry, const std::string& id) {
    for (const auto& corpus : corpora_) {
      if (!matches(entry, *corpus)) continue;
      auto& index = by_id_[corpus.get()];
      if (index.empty()) {
        for (const Document& document : corpus->documents) index.emplace(document.id, &document);
      }
      const auto found = index.find(id);
      if (found != index.end() && !found->second->text.empty()) return found->second->text;
    }
    return std::nullopt;
  }

 private:
  static bool matches(const CorpusEntry& entry, const Corpus& corpus) {
    return entry.digest.empty() ? entry.name == corpus.name : entry.digest == corpus.digest;
  }

  std::vector<std::unique_ptr<Corpus>> corpora_;
  std::map<const Corpus*, std::map<std::string, const Document*>> by_id_;
};

void write_file(const std::string& path, const std::string& content) {
  // A page half written must not stand in the place of a whole one.
  const std::string draft = path + ".new";
  {
    std::ofstream file(draft, std::ios::binary);
    file << content;
    file.close();
    if (!file) {
      const int error = errno;
      fs::remove(draft);
      throw std::runtime_error(fmt::format("cannot write {}: {}", path, std::strerror(error)));
    }
  }
  fs::rename(draft, path);
}

std::vector<PublishedTable> published_of(const std::vector<std::string>& words) {
  std::vector<PublishedTable> tables;
  const std::vector<std::string> names = published_names();
  for (const std::string& word : words) {
    if (word == "all") {
      for (const std::string& name : names) tables.push_back(published_table(name));
    } else if (std::find(names.begin(), names.end(), word) != names.end()) {
      tables.push_back(published_table(word));
    } else if (fs::exists(word)) {
      std::ifstream file(word, std::ios::binary);
      const std::string content(std::istreambuf_iterator<char>(file), {});
      try {
        tables.push_back(parse_published(content));
      } catch (const std::runtime_error& error) {
        throw std::runtime_error(fmt::format("{}: {}", word, error.what()));
      }
    } else {
      throw std::invalid_argument(
          fmt::format("no published table is called '{}'{} (--list-published shows them)", word,
                      did_you_mean(word, names)));
    }
  }
  return tables;
}

int list(const Console& console) {
  Table table;
  table.columns = {
      {"name", "name", false}, {"title", "title", false}, {"rows", "rows"}, {"source", "source", false}};
  for (const std::string& name : published_names()) {
    const PublishedTable published = published_table(name);
    table.rows.push_back({{name, ""},
                          {published.title, ""},
                          {std::to_string(published.rows.size()), std::to_string(published.rows.size())},
                          {published.source, ""}});
  }
  console.show(std::move(table), std::vector<std::string_view>{"source"});
  return kDone;
}

}  // namespace

int report(const ReportCommand& options, const Console& console) {
  if (options.list_published) return list(console);
  if (options.runs.empty())
    throw std::invalid_argument("a report is made of runs: name their directories or files of records");
  const Collection collection =
      read_collection(std::vector<fs::path>(options.runs.begin(), options.runs.end()));
  if (options.output.empty() &&
      (!options.corpora.empty() || !options.documents.empty() || !options.published.empty()))
    console.warn("--corpus, --document and --published only matter for a page: add -o page.html");
  if (!options.output.empty()) {
    const std::string ending = fs::path(options.output).extension();
    if (ending != ".html" && ending != ".htm") {
      throw std::invalid_argument(fmt::format(
          "-o {}: a report is an .html page; for a table use --format or --export FILE.md", options.output));
    }
    Texts texts(options.corpora, collection, console);
    ReportOptions page;
    page.title = options.title;
    page.seed = options.seed;
    page.documents = options.documents;
    page.published = published_of(options.published);
    page.made = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
    page.version = fmt::format("deciban {} ({})", DECIBAN_VERSION, DECIBAN_COMMIT);
    if (!options.corpora.empty()) {
      page.text = [&texts](const CorpusEntry& corpus, const std::string& id) {
        return texts.find(corpus, id);
      };
    }
    const std::string html = report_page(collection, page);
    write_file(options.output, html);
    for (const std::string& warning : collection.warnings) console.warn(warning);
    console.note(fmt::format("wrote {} ({})", options.output, byte_count(static_cast<double>(html.size()))));
    return kDone;
  }
  for (const std::string& warning : collection.warnings) console.warn(warning);
  const std::vector<std::string> known{"leaderboard", "sources", "tasks"};
  if (std::find(known.begin(), known.end(), options.table) == known.end()) {
    throw std::invalid_argument(fmt::format("unknown --table '{}'{}; known are leaderboard, sources, tasks",
                                            options.table, did_you_mean(options.table, known)));
  }
  Table table;
  if (options.table != "tasks") {
    const std::vector<Board> boards = make_boards(collection, options.seed);
    table = options.table == "sources" ? source_table(boards) : leaderboard_table(boards);
    if (boards.empty()) table = task_table(collection, options.seed);  // only tasks were run
  } else {
    table = task_table(collection, options.seed);
  }
  if (table.rows.empty())
    throw std::runtime_error(fmt::format("these records hold nothing for a table of {}", options.table));
  console.show(std::move(table), std::vector<std::string_view>{"bits_per_byte_macro", "mode", "parameters",
                                                               "compression_rate_percent"});
  return kDone;
}

}  // namespace deciban
