// What the words of `deciban fetch` mean: which source, which settings, and the call that fetches.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/fetch.h"
#include "datasets/fetch_source.h"
#include "datasets/sources.h"

namespace deciban {

// All functions throw std::invalid_argument, naming the word and what there is, unless they say otherwise.

// Of "wikipedia:de" the source and "de".
const Source& source_of(const std::string& word, std::string& rest);
// An option that the source has no use for is a mistake that nobody should have to find out later.
void check_options(const FetchOptions& options, std::string_view source);
// With the words of --from where they belong: a date in `from`, a form of text in `text`.
FetchOptions with_from_words(FetchOptions options);
// "deciban/VERSION (mailto:ADDRESS)"; the address must be there where the source wants it.
std::string user_agent(const FetchOptions& options, const Source& source);
// How requests to the source's servers are made: their pace, cache and user agent.
PoliteOptions fetch_client_options(const FetchOptions& options, const Source& source);
// HF_TOKEN, else the file that `huggingface-cli login` writes; empty if there is neither.
std::string hub_token();
// Its value, or nothing.
std::string environment(const char* name);

// One fetch as words describe it: what it is, and how it is done.
struct Job {
  const Source* source;
  nlohmann::json settings;
  std::filesystem::path output;  // the corpus file
  std::function<Gathered(FetchContext&)> run;
};

Job job_of(const FetchOptions& options, const Source& source, const std::string& rest);
// Throws std::runtime_error if the manifest is of no source that can be fetched again.
Job job_of_manifest(const FetchOptions& options, const nlohmann::json& manifest);

}  // namespace deciban
