#include "cli/fetch.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cli/fetch_job.h"
#include "cli/fetch_progress.h"
#include "cli/fetch_tasks.h"
#include "cli/interrupt.h"
#include "cli/suggest.h"
#include "cli/terminal.h"
#include "datasets/corpus_writer.h"
#include "datasets/hub.h"
#include "datasets/vocabulary.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

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

int fetch_file(const FetchOptions& options, const Source& source, const std::string& dataset,
               const Console& console) {
  check_dataset_name(dataset);
  PoliteClient client(fetch_client_options(options, source), Clock::system(),
                      [] { return interrupted().load(); });
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
  PoliteClient client(fetch_client_options(options, *job.source), Clock::system(),
                      [] { return interrupted().load(); });
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
  console.note(fmt::format("{}: with it anybody can make this corpus again (deciban fetch --from-manifest)",
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
    console.warn(fmt::format("only {} of {} documents: no more of what there is can be used",
                             written.documents, gathered.wanted));
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

int fetch(const FetchOptions& words, const Console& console) {
  const FetchOptions options = with_from_words(words);
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
  if (source.name == "tasks") return fetch_tasks(options, rest, console);
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
