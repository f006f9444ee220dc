// What every source of corpora works with, and what it returns.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/ledger.h"
#include "datasets/polite_client.h"

namespace deciban {

struct FetchProgress {
  std::string stage;  // "listing cs.CL", "papers"
  std::size_t done = 0, total = 0;
  double seconds_left = -1;  // negative: not known
};

class FetchObserver {
 public:
  virtual ~FetchObserver() = default;
  virtual void progress(const FetchProgress& now) {}
  virtual void note(const std::string& text) {}
};

struct FetchContext {
  PoliteClient& client;
  Ledger& ledger;
  FetchObserver& observer;
};

// A document that could have been in the corpus and is not.
struct Dropped {
  std::string id, reason;  // reason: a few fixed words, by which they are counted
  std::string detail;      // may be empty
};

struct Gathered {
  nlohmann::json settings;  // object; "source" names the source
  nlohmann::json
      provenance;  // object: what else the manifest says (candidates, revision, licence of the whole)
  // Objects with at least "id" and "text" (or what `text_field` says).
  std::vector<nlohmann::json> rows;
  std::string text_field = "text";
  std::vector<Dropped> dropped;
  std::size_t wanted = 0;  // as many were asked for; 0: all
};

// What a manifest says was dropped.
std::vector<Dropped> dropped_of(const nlohmann::json& manifest);

// SHA-256 of the sorted lines, each with a line break: the fingerprint of a list of candidates.
std::string list_digest(std::vector<std::string> lines);

}  // namespace deciban
