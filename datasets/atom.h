// The answers of arXiv's search API: Atom feeds.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct AtomEntry {
  std::string id;  // "2202.12139", "astro-ph/0601001"
  int version = 1;
  std::string published;                 // of version 1, "2022-02-24T15:05:19Z"
  std::string updated;                   // of this version
  std::string title, abstract, comment;  // white space normalised
  std::vector<std::string> categories;   // in the feed's order
  std::string primary_category;
};

struct AtomFeed {
  std::size_t total = 0;  // of the query; the feed may hold fewer
  std::size_t start = 0;
  std::vector<AtomEntry> entries;
  std::string error;  // what arXiv's "Error" entry says; then there are no entries
};

// Throws std::runtime_error if the bytes are no such feed, or if an entry lacks its id or its date.
AtomFeed parse_atom(std::string_view xml);

// "2202.12139v1" → id and version (1 if it has none).  Throws std::runtime_error if it is no arXiv id.
void split_arxiv_id(std::string_view word, std::string& id, int& version);

}  // namespace deciban
