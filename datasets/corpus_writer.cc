#include "datasets/corpus_writer.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>

#include "datasets/http_cache.h"
#include "datasets/licence.h"
#include "datasets/sha256.h"
#include "deciban_version.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path beside(const fs::path& corpus, const char* ending) {
  fs::path path = corpus;
  return path.replace_extension(ending);
}

std::string line_of(const json& row) {
  return row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// What the manifest keeps of a row: everything but what may not be passed on.
json entry_of(const json& row, const std::string& text_field) {
  json entry = json::object();
  for (const char* name :
       {"id", "version", "published", "title", "categories", "primary_category", "category", "licence",
        "source", "source_sha256", "abstract_from", "page", "revision", "url", "config", "split", "row"}) {
    if (row.contains(name)) entry[name] = row[name];
  }
  if (row.value("abstract_from", json()) == "metadata") entry["abstract"] = row["abstract"];  // CC0
  entry["sha256"] = Sha256::of(row.at(text_field).get_ref<const std::string&>());
  return entry;
}

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(fmt::format("{}: can't be read", file.string()));
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

fs::path manifest_path(const fs::path& corpus) { return beside(corpus, ".manifest.json"); }
fs::path public_path(const fs::path& corpus) { return beside(corpus, ".public.jsonl"); }
fs::path ledger_path(const fs::path& corpus) { return corpus.string() + ".part"; }

WrittenCorpus write_corpus(const fs::path& corpus, const Gathered& gathered) {
  WrittenCorpus written;
  std::string bytes;
  json documents = json::array();
  for (const json& row : gathered.rows) {
    const std::string line = line_of(row);
    json entry = entry_of(row, gathered.text_field);
    entry["offset"] = bytes.size();
    entry["bytes"] = line.size();
    ++written.licences[row.value("licence", "unknown")];
    documents.push_back(std::move(entry));
    bytes += line;
  }
  json dropped = json::array();
  for (const Dropped& one : gathered.dropped) {
    ++written.dropped[one.reason];
    dropped.push_back({{"id", one.id}, {"reason", one.reason}, {"detail", one.detail}});
  }
  written.documents = gathered.rows.size();
  written.bytes = bytes.size();
  written.digest = Sha256::of(bytes);
  const json manifest{{"format", kManifestFormat},
                      {"tool", fmt::format("deciban {}", DECIBAN_VERSION)},
                      {"settings", gathered.settings},
                      {"provenance", gathered.provenance},
                      {"text_field", gathered.text_field},
                      {"corpus",
                       {{"file", corpus.filename().string()},
                        {"documents", written.documents},
                        {"bytes", written.bytes},
                        {"sha256", written.digest}}},
                      {"licences", written.licences},
                      {"dropped", written.dropped},
                      {"dropped_documents", std::move(dropped)},
                      {"documents", std::move(documents)}};
  write_whole_file(corpus, bytes);
  write_whole_file(manifest_path(corpus),
                   manifest.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  return written;
}

json read_manifest(const fs::path& file) {
  const json manifest = json::parse(read_file(file), nullptr, false);
  const auto fail = [&](const std::string& what) {
    throw std::runtime_error(fmt::format("{}: {}", file.string(), what));
  };
  if (!manifest.is_object() || !manifest.contains("format")) fail("is not a manifest of deciban fetch");
  if (manifest["format"] != kManifestFormat)
    fail(fmt::format("its format is {}; this program reads \"{}\"", manifest["format"].dump(),
                     kManifestFormat));
  for (const char* name : {"settings", "provenance", "corpus"}) {
    if (!manifest.contains(name) || !manifest[name].is_object()) fail(fmt::format("it lacks '{}'", name));
  }
  if (!manifest.contains("documents") || !manifest["documents"].is_array() || manifest["documents"].empty())
    fail("it lists no documents");
  for (const json& document : manifest["documents"]) {
    if (!document.is_object() || !document.contains("id") || !document["id"].is_string() ||
        !document.contains("sha256") || !document["sha256"].is_string())
      fail("one of its documents has no id or no sha256");
  }
  return manifest;
}

std::size_t write_public(const fs::path& corpus, const json& manifest, const fs::path& target) {
  const std::string bytes = read_file(corpus);
  if (Sha256::of(bytes) != manifest["corpus"].value("sha256", "")) {
    throw std::runtime_error(fmt::format("{}: is not the corpus of its manifest: its SHA-256 is {}",
                                         corpus.string(), Sha256::of(bytes)));
  }
  std::string text;
  std::size_t whole = 0;
  for (const json& document : manifest["documents"]) {
    if (is_open_licence(document.value("licence", ""))) {
      text.append(bytes, document.at("offset").get<std::size_t>(), document.at("bytes").get<std::size_t>());
      ++whole;
      continue;
    }
    json reference = json::object();
    for (const char* name :
         {"id", "version", "published", "licence", "source", "sha256", "offset", "bytes"}) {
      if (document.contains(name)) reference[name] = document[name];
    }
    text += line_of(reference);
  }
  write_whole_file(target, text);
  return whole;
}

}  // namespace deciban
