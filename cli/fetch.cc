#include "cli/fetch.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cli/fetch_progress.h"
#include "cli/interrupt.h"
#include "cli/suggest.h"
#include "cli/terminal.h"
#include "datasets/arxiv.h"
#include "datasets/arxiv_categories.h"
#include "datasets/corpus_writer.h"
#include "datasets/hub.h"
#include "datasets/sources.h"
#include "datasets/vocabulary.h"
#include "datasets/wikipedia.h"
#include "deciban_version.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// "wikipedia:de" → the source and "de".
const Source& source_of(const std::string& word, std::string& rest) {
  const std::size_t colon = word.find(':');
  const std::string name = word.substr(0, colon);
  rest = colon == std::string::npos ? "" : word.substr(colon + 1);
  for (const Source& source : kSources) {
    if (source.name == name) return source;
  }
  std::vector<std::string> known;
  std::string shapes;
  for (const Source& source : kSources) {
    known.emplace_back(source.name);
    shapes += fmt::format("{}{}", shapes.empty() ? "" : ", ", source.shape);
  }
  throw std::invalid_argument(word.empty() ? fmt::format("fetch what? There are {}", shapes)
                                           : fmt::format("unknown source '{}'{}; there are {}", word,
                                                         did_you_mean(name, known), shapes));
}

// An option that the source has no use for is a mistake that nobody should have to find out later.
void check_options(const FetchOptions& options, std::string_view source) {
  struct Use {
    const char* option;
    bool given;
    std::vector<std::string_view> sources;
  };
  const std::vector<Use> uses{
      {"--category", !options.categories.empty(), {"arxiv"}},
      {"--from", !options.from.empty(), {"arxiv", "wikipedia"}},
      {"--to", !options.to.empty(), {"arxiv", "wikipedia"}},
      {"-n", options.count.has_value(), {"arxiv", "wikipedia", "hub"}},
      {"--seed", options.seed.has_value(), {"arxiv", "wikipedia", "hub"}},
      {"--min-chars", options.min_characters.has_value(), {"arxiv", "wikipedia"}},
      {"--licence", !options.licence.empty(), {"arxiv"}},
      {"--text", !options.text.empty(), {"arxiv"}},
      {"--math", !options.math.empty(), {"arxiv"}},
      {"--cross-lists", options.cross_lists, {"arxiv"}},
      {"--config", !options.config.empty(), {"hub"}},
      {"--split", !options.split.empty(), {"hub"}},
      {"--column", !options.column.empty(), {"hub"}},
      {"--file", !options.file.empty(), {"hub"}},
      {"--revision", !options.revision.empty(), {"hub"}},
      {"--sha256", !options.digest.empty(), {"hub"}},
      {"--publish", options.publish, {"arxiv", "wikipedia", "hub"}},
  };
  for (const Use& use : uses) {
    if (use.given && std::find(use.sources.begin(), use.sources.end(), source) == use.sources.end())
      throw std::invalid_argument(fmt::format("{} means nothing to '{}'", use.option, source));
  }
  if (options.file.empty() && (!options.revision.empty() || !options.digest.empty()))
    throw std::invalid_argument("--revision and --sha256 belong to --file");
}

std::string user_agent(const FetchOptions& options, const Source& source) {
  const std::string contact = !options.contact.empty() ? options.contact : environment("DECIBAN_CONTACT");
  if (contact.empty()) {
    if (!source.needs_contact) return "deciban/" DECIBAN_VERSION;
    throw std::invalid_argument(
        fmt::format("{} wants to know whom to write to if something goes wrong: give your "
                    "address with --contact you@example.org, or set DECIBAN_CONTACT",
                    source.name));
  }
  const bool page = contact.starts_with("https://") || contact.starts_with("http://");
  const bool mail = contact.find('@') != std::string::npos;
  if ((!page && !mail) || contact.find_first_of(" \t\r\n()<>") != std::string::npos)
    throw std::invalid_argument(fmt::format("'{}' is neither an e-mail address nor a web page", contact));
  return fmt::format("deciban/{} ({}{})", DECIBAN_VERSION, page ? "+" : "mailto:", contact);
}

void read_window(const FetchOptions& options, std::chrono::sys_days& from, std::chrono::sys_days& to) {
  if (options.from.empty())
    throw std::invalid_argument("--from is missing: the first day (2025-01-31), or a whole month (2025-01)");
  from = parse_date(options.from);
  // No default such as "today": the same command must mean the same tomorrow.
  if (options.to.empty() && options.from.size() != 7)
    throw std::invalid_argument(
        "--to is missing: the last day, or a month (--from 2025-01 alone is that month)");
  to = parse_last_date(options.to.empty() ? options.from : options.to);
}

ArxivQuery arxiv_query(const FetchOptions& options) {
  ArxivQuery query;
  query.categories = options.categories;
  std::vector<std::string> known;
  for (const std::string_view category : arxiv_categories()) {
    known.emplace_back(category);
    const std::string archive(category.substr(0, category.find('.')));
    if (known.size() < 2 || known[known.size() - 2] != archive) known.push_back(archive);
  }
  for (const std::string& category : query.categories) {
    if (!is_arxiv_category(category))
      throw std::invalid_argument(
          fmt::format("arXiv has no category '{}'{}", category, did_you_mean(category, known)));
  }
  if (query.categories.empty())
    throw std::invalid_argument(
        "--category is missing: for example cs.CL, or cs.CL,math for several and whole archives");
  read_window(options, query.from, query.to);
  query.count = options.count.value_or(query.count);
  query.seed = options.seed.value_or(query.seed);
  query.min_characters = options.min_characters.value_or(query.min_characters);
  query.cross_lists = options.cross_lists;
  if (!options.licence.empty() && options.licence != "any" && options.licence != "open")
    throw std::invalid_argument(fmt::format("--licence '{}': there are any and open", options.licence));
  query.open_only = options.licence == "open";
  if (!options.text.empty()) query.form = paper_form(options.text);
  if (!options.math.empty()) query.math = math_of(options.math);
  query.check();
  return query;
}

WikipediaQuery wikipedia_query(const FetchOptions& options, const std::string& language) {
  WikipediaQuery query;
  if (!language.empty()) query.language = language;
  read_window(options, query.from, query.to);
  query.count = options.count.value_or(query.count);
  query.seed = options.seed.value_or(query.seed);
  query.min_characters = options.min_characters.value_or(query.min_characters);
  query.check();
  return query;
}

// HF_TOKEN, else the file that `huggingface-cli login` writes.
std::string hub_token() {
  if (const std::string token = environment("HF_TOKEN"); !token.empty()) return token;
  const std::string home = environment("HF_HOME");
  const fs::path file =
      (home.empty() ? fs::path(environment("HOME")) / ".cache/huggingface" : fs::path(home)) / "token";
  std::ifstream in(file);
  std::string token;
  in >> token;
  return token;
}

PaperReader paper_reader() { return {paper_from_html, paper_from_source, &Paper::text}; }

// One fetch as words describe it: what it is, and how it is done.
struct Job {
  const Source* source;
  json settings;
  fs::path output;
  std::function<Gathered(FetchContext&)> run;
};

Job job_of(const FetchOptions& options, const Source& source, const std::string& rest) {
  Job job{&source, {}, options.output, {}};
  const auto url = [&](const char* name) { return server_url(name, options.servers); };
  const auto default_output = [&](const std::string& name) {
    if (job.output.empty()) job.output = name + ".jsonl";
  };
  if (source.name == "arxiv") {
    if (!rest.empty())
      throw std::invalid_argument(fmt::format("write --category {} instead of arxiv:{}", rest, rest));
    const ArxivQuery query = arxiv_query(options);
    job.settings = settings_of(query);
    const ArxivServers servers{url("arxiv-api"), url("arxiv-oai"), url("arxiv-html"), url("arxiv-source")};
    job.run = [=](FetchContext& context) { return fetch_arxiv(context, query, servers, paper_reader()); };
    default_output(fmt::format("arxiv-{}-{}", iso_date(query.from), iso_date(query.to)));
  } else if (source.name == "wikipedia") {
    const WikipediaQuery query = wikipedia_query(options, rest);
    job.settings = settings_of(query);
    job.run = [=, api = url("wikipedia")](FetchContext& context) {
      return fetch_wikipedia(context, query, api);
    };
    default_output(
        fmt::format("wikipedia-{}-{}-{}", query.language, iso_date(query.from), iso_date(query.to)));
  } else {
    HubQuery query{
        rest,          options.config, options.split, options.count.value_or(0), options.seed.value_or(1),
        options.column};
    check_dataset_name(query.dataset);
    job.settings = settings_of(query);
    const HubServers servers{url("hub"), url("hub-rows")};
    job.run = [=](FetchContext& context) { return fetch_hub(context, query, servers, hub_token()); };
    default_output(rest.substr(rest.find('/') + 1));
  }
  return job;
}

Job job_of_manifest(const FetchOptions& options, const json& manifest) {
  std::string rest;
  const Source& source = source_of(manifest["settings"].value("source", ""), rest);
  const auto url = [&](const char* name) { return server_url(name, options.servers); };
  Job job{&source, {{"manifest", manifest["corpus"].value("sha256", "")}}, options.output, {}};
  if (job.output.empty()) job.output = fs::path(manifest["corpus"].value("file", "corpus.jsonl")).filename();
  if (source.name == "arxiv") {
    const ArxivServers servers{url("arxiv-api"), url("arxiv-oai"), url("arxiv-html"), url("arxiv-source")};
    job.run = [=](FetchContext& context) {
      return rebuild_arxiv(context, manifest, servers, paper_reader());
    };
  } else if (source.name == "wikipedia") {
    job.run = [=, api = url("wikipedia")](FetchContext& context) {
      return rebuild_wikipedia(context, manifest, api);
    };
  } else if (source.name == "hub") {
    const HubQuery query = hub_query_of(manifest["settings"]);
    const HubServers servers{url("hub"), url("hub-rows")};
    job.run = [=](FetchContext& context) { return rebuild_hub(context, manifest, servers, hub_token()); };
  } else {
    throw std::runtime_error("the manifest is of no source that can be fetched again");
  }
  return job;
}

std::string counts(const std::map<std::string, std::size_t>& numbers) {
  std::string text;
  for (const auto& [name, count] : numbers)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
  return text;
}

void publish(const fs::path& corpus, const Console& console) {
  const json manifest = read_manifest(manifest_path(corpus));
  const std::size_t whole = write_public(corpus, manifest, public_path(corpus));
  console.note(
      fmt::format("{}: {} documents whole, {} as id, hash and offset: this and the manifest may be passed on",
                  public_path(corpus).string(), whole, manifest["documents"].size() - whole));
}

// Whether the corpus is there already.  Throws if another one is in its place.
bool already_there(const Job& job, const std::string& digest) {
  if (!fs::exists(job.output)) return false;
  const fs::path manifest_file = manifest_path(job.output);
  std::string difference = "it has no manifest";
  if (fs::exists(manifest_file)) {
    const json manifest = read_manifest(manifest_file);
    difference = digest.empty() ? first_difference(manifest["settings"], job.settings)
                 : manifest["corpus"].value("sha256", "") == digest ? ""
                                                                    : "its SHA-256 is another";
  }
  if (difference.empty()) return true;
  throw std::runtime_error(
      fmt::format("{} is there and is something else: {}; choose another -o, or remove it",
                  job.output.string(), difference));
}

PoliteOptions options_of(const FetchOptions& options, const Source& source) {
  const milliseconds interval =
      options.interval ? milliseconds(static_cast<long>(*options.interval * 1000)) : source.interval;
  if (interval.count() < 0 || interval > std::chrono::hours(1))
    throw std::invalid_argument("--interval is in seconds, from 0 to 3600");
  return polite_options(std::string(source.name), user_agent(options, source), interval);
}

int fetch_file(const FetchOptions& options, const Source& source, const std::string& dataset,
               const Console& console) {
  check_dataset_name(dataset);
  PoliteClient client(options_of(options, source), Clock::system(), [] { return interrupted().load(); });
  const fs::path target =
      options.output.empty() ? fs::path(options.file).filename() : fs::path(options.output);
  DownloadOptions download_options;
  download_options.max_bytes = std::uint64_t{1} << 40;
  download_options.user_agent = user_agent(options, source);
  const HubFile file = fetch_hub_file(client, {server_url("hub", options.servers), ""}, hub_token(), dataset,
                                      options.file, options.revision.empty() ? "main" : options.revision,
                                      options.digest, target, download_options);
  console.note(fmt::format("{}: {}, commit {}, SHA-256 {} ({})", target.string(),
                           byte_count(static_cast<double>(file.bytes)), file.revision, file.digest,
                           file.checked ? "checked" : "the hub names none to check it with"));
  return kDone;
}

int run_job(const Job& job, const FetchOptions& options, const std::string& digest, const Console& console) {
  if (already_there(job, digest)) {
    console.note(job.output.string() + " was there already");
    if (options.publish) publish(job.output, console);
    return kDone;
  }
  PoliteClient client(options_of(options, *job.source), Clock::system(), [] { return interrupted().load(); });
  Ledger ledger(ledger_path(job.output), job.settings);
  FetchProgressLine line(console);
  client.on_delay = [&](const std::string& reason) { line.delay(reason); };
  if (ledger.resumed() > 0) line.note(fmt::format("{} goes on", job.output.string()));
  FetchContext context{client, ledger, line};
  Gathered gathered;
  try {
    gathered = job.run(context);
  } catch (const FetchStopped& stopped) {
    line.wipe();
    console.note(fmt::format("{}: {}", job.output.string(), stopped.what()));
    return kInterrupted;
  } catch (const FetchError& error) {
    line.wipe();
    const bool kept = !ledger.empty();
    console.error(
        fmt::format("{}{}", error.what(),
                    kept ? "; what was fetched is kept: the same command goes on where it was" : ""));
    return kFailed;
  }
  line.wipe();
  const WrittenCorpus written = write_corpus(job.output, gathered);
  ledger.remove();
  console.note(fmt::format("{}: {} documents, {}; licences: {}{}{}", job.output.string(), written.documents,
                           byte_count(static_cast<double>(written.bytes)), counts(written.licences),
                           written.dropped.empty() ? "" : "; dropped: ", counts(written.dropped)));
  console.note(fmt::format("{}: deciban fetch --from-manifest makes the same corpus of it",
                           manifest_path(job.output).string()));
  if (options.publish) publish(job.output, console);
  if (!digest.empty() && written.digest != digest) {
    std::size_t lost = gathered.dropped.size();
    console.warn(fmt::format(
        "this is not the corpus of the manifest: {} of {} documents could not be had as they were", lost,
        lost + written.documents));
    return kSomeFailed;
  }
  if (gathered.wanted > written.documents)
    console.warn(fmt::format("only {} of {} documents: there are no more in the window", written.documents,
                             gathered.wanted));
  return kDone;
}

int fetch_vocabulary(const FetchOptions& options, const std::string& rest, const Console& console) {
  if (rest != "world") {
    const std::vector<std::string> known{"vocab:world"};
    throw std::invalid_argument(fmt::format("unknown vocabulary '{}'{}; there is vocab:world", rest,
                                            did_you_mean("vocab:" + rest, known)));
  }
  const fs::path target = options.output.empty() ? world_vocabulary_target() : fs::path(options.output);
  // Mirrors, and the tests' own server.
  const std::string mirror = environment("DECIBAN_VOCABULARY_URL");
  const Fetched fetched = fetch_world_vocabulary(mirror.empty() ? kWorldVocabularyUrl : mirror, target);
  console.note(fmt::format(
      "{} {}", target.string(),
      fetched == Fetched::downloaded ? "is there now, checked by its SHA-256" : "was there already"));
  return kDone;
}

}  // namespace

int fetch(const FetchOptions& options, const Console& console) {
  if (!options.manifest.empty()) {
    if (!options.source.empty())
      throw std::invalid_argument("a manifest names its source itself; leave out '" + options.source + "'");
    FetchOptions unused = options;
    unused.publish = false;
    check_options(unused, "--from-manifest");
    const json manifest = read_manifest(options.manifest);
    const Job job = job_of_manifest(options, manifest);
    catch_interrupts();
    return run_job(job, options, manifest["corpus"].value("sha256", ""), console);
  }
  std::string rest;
  const Source& source = source_of(options.source, rest);
  check_options(options, source.name);
  if (source.name == "vocab") return fetch_vocabulary(options, rest, console);
  if (!options.file.empty()) {
    catch_interrupts();
    return fetch_file(options, source, rest, console);
  }
  const Job job = job_of(options, source, rest);
  user_agent(options, source);  // before anything is touched
  catch_interrupts();
  return run_job(job, options, "", console);
}

}  // namespace deciban
