#include "cli/fetch_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "cli/suggest.h"
#include "datasets/arxiv.h"
#include "datasets/arxiv_categories.h"
#include "datasets/hub.h"
#include "datasets/wikipedia.h"
#include "deciban_version.h"

namespace deciban {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

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

PaperReader paper_reader() { return {paper_from_html, paper_from_source, &Paper::text}; }

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

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

FetchOptions with_from_words(FetchOptions options) {
  for (const std::string& word : options.from_words) {
    const bool form = word == "html" || word == "source" || word == "auto";
    std::string& value = form ? options.text : options.from;
    if (!value.empty() && value != word)
      throw std::invalid_argument(fmt::format("--from '{}': {} is '{}' already", word,
                                              form ? "the form of the texts" : "the first day", value));
    value = word;
  }
  options.from_words.clear();
  return options;
}

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
      {"--examples", options.examples, {"tasks"}},
      {"--tasks-dir", !options.tasks_dir.empty(), {"tasks"}},
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

PoliteOptions fetch_client_options(const FetchOptions& options, const Source& source) {
  const std::chrono::milliseconds interval =
      options.interval ? std::chrono::milliseconds(static_cast<long>(*options.interval * 1000))
                       : source.interval;
  if (interval.count() < 0 || interval > std::chrono::hours(1))
    throw std::invalid_argument("--interval is in seconds, from 0 to 3600");
  return polite_options(std::string(source.name), user_agent(options, source), interval);
}

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

}  // namespace deciban
