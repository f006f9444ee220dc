#include "cli/fetch.h"

#include <fmt/format.h>

#include "cli/commands/command.h"
#include "datasets/sources.h"

namespace deciban {
namespace {

void add_fetch(CLI::App& app, FetchOptions& options) {
  const auto word = [&](const char* names, std::string& value, const char* what, const char* type,
                        const char* group) {
    app.add_option(names, value, what)->type_name(type)->group(group);
  };
  std::string sources;
  for (const Source& source : kSources)
    sources += fmt::format("{}{}: {}", sources.empty() ? "" : "; ", source.shape, source.what);
  app.add_option("source", options.source, sources)->type_name("SOURCE")->group("what");
  word("-o,--output", options.output,
       "where to put it; beside it FILE's manifest and, while it runs, FILE.part; of tasks: the folder of "
       "their data",
       "FILE", "what");
  word("--from-manifest", options.manifest, "make the corpus of this manifest again", "FILE", "what");
  app.add_flag("--publish", options.publish,
               "also write the edition that may be passed on: texts under open licences, of others ids, "
               "hashes and offsets")
      ->group("what");
  app.add_option(
         "--from", options.from_words,
         "first day of submission or creation, or a month (2026-10); of arXiv also html or source, as "
         "--text")
      ->type_name("DATE")
      ->group("which documents");
  word("--to", options.to, "last day, included; default: the end of --from's month", "DATE",
       "which documents");
  app.add_option("-n,--count", options.count,
                 "documents to draw; default 100, of the hub all (else N of each split)")
      ->type_name("N")
      ->group("which documents");
  app.add_option("--seed", options.seed, "decides which ones; default 1")
      ->type_name("N")
      ->group("which documents");
  app.add_option("--min-chars", options.min_characters,
                 "shorter texts are dropped; default 2000, of Wikipedia 1000")
      ->type_name("N")
      ->group("which documents");
  app.add_option("--category", options.categories,
                 "categories (cs.CL) or archives (math) of arXiv, equal shares of each")
      ->delimiter(',')
      ->type_name("NAME,…")
      ->group("arxiv");
  word("--licence", options.licence, "any (default), or open: CC0, CC BY, CC BY-SA", "WHICH", "arxiv");
  word("--text", options.text, "from html, source, or auto: HTML, else source (default)", "FORM", "arxiv");
  word("--math", options.math, "tex keeps it as TeX (default), drop leaves it out, token puts [MATH]", "HOW",
       "arxiv");
  app.add_flag("--cross-lists", options.cross_lists, "also papers whose main category is another")
      ->group("arxiv");
  word("--config", options.config, "only this configuration of the data set", "NAME", "hub");
  word("--split", options.split, "only this split", "NAME", "hub");
  word("--column", options.column, "where the text is; default: text, else content", "NAME", "hub");
  word("--file", options.file, "instead of rows this file of the data set", "PATH", "hub");
  word("--revision", options.revision, "branch, tag or commit of --file", "NAME", "hub");
  word("--sha256", options.digest, "that --file must have", "HEX", "hub");
  app.add_flag("--examples", options.examples,
               "also the rows that few-shot examples are drawn from; they are many")
      ->group("tasks");
  word("--tasks-dir", options.tasks_dir, "folder of task files of your own (docs/tasks.md)", "DIR", "tasks");
  word("--contact", options.contact,
       "your e-mail address or page, for the servers' operators; or set DECIBAN_CONTACT", "ADDRESS",
       "network");
  app.add_option("--interval", options.interval,
                 "between requests; arXiv's own servers never get less than 3")
      ->type_name("SECONDS")
      ->group("network");
  std::string names;
  for (const auto& server : kServers) names += fmt::format("{}{}", names.empty() ? "" : ", ", server.name);
  app.add_option("--server", options.servers, "another address, for mirrors: " + names)
      ->type_name("NAME=URL")
      ->group("network");
}

}  // namespace

Command fetch_command() {
  return make_command<FetchOptions>(
      "fetch", "download texts and what evaluations need; the only command that does",
      "SOURCE|--from-manifest FILE [OPTION…]",
      {"deciban fetch arxiv --category cs.CL,math --from 2026-10 -n 200 \\",
       "              --contact you@example.org -o papers.jsonl",
       "deciban fetch --from-manifest papers.manifest.json -o again.jsonl",
       "deciban fetch hub:Jellyfish042/UncheatableEval-2026-07", "deciban fetch vocab:world",
       "deciban fetch tasks:arc_easy,piqa,lambada_openai"},
      add_fetch, [](const FetchOptions& options, const Console& console) { return fetch(options, console); });
}

}  // namespace deciban
