// Writes what was gathered: the corpus as JSON Lines, its manifest, and the edition that may be passed on.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "datasets/fetch_source.h"

namespace deciban {

inline constexpr const char* kManifestFormat = "deciban-corpus-manifest/1";

// "papers.manifest.json" beside "papers.jsonl"; "papers.public.jsonl"; "papers.jsonl.part".
std::filesystem::path manifest_path(const std::filesystem::path& corpus);
std::filesystem::path public_path(const std::filesystem::path& corpus);
std::filesystem::path ledger_path(const std::filesystem::path& corpus);

struct WrittenCorpus {
  std::size_t documents = 0, bytes = 0;  // of the corpus file
  std::string digest;                    // of the corpus file
  std::map<std::string, std::size_t> licences, dropped;
};

// Writes the corpus, then the manifest; each appears complete or not at all.  The manifest holds no text but
// titles (and abstracts where the text had none), and nothing that differs between two equal fetches.  Throws
// std::runtime_error naming the file.
WrittenCorpus write_corpus(const std::filesystem::path& corpus, const Gathered& gathered);

// Reads a manifest.  Throws std::runtime_error naming the file and what is wrong.
nlohmann::json read_manifest(const std::filesystem::path& file);

// Writes the edition of a corpus that may be passed on: rows under open licences whole, of the others only
// id, version, date, licence, SHA-256 of the text, and where the row lies in the full corpus file (offset and
// bytes). Returns how many are whole.  Throws std::runtime_error if the corpus is not that of the manifest.
std::size_t write_public(const std::filesystem::path& corpus, const nlohmann::json& manifest,
                         const std::filesystem::path& target);

}  // namespace deciban
