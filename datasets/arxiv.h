// Fresh papers of arXiv as a corpus: listed, drawn at random, read, and kept with licence and date.
#pragma once

#include "datasets/arxiv_listing.h"
#include "datasets/arxiv_paper.h"
#include "datasets/arxiv_query.h"
#include "datasets/fetch_source.h"

namespace deciban {

// Draws `query.count` papers from the window, in equal shares from the categories, and returns those that
// have a text, in the order drawn.  Rows have id, version, published (date of version 1), title, abstract,
// abstract_from ("text", or "metadata" where the text has none), categories, primary_category, category (the
// one asked for that it was drawn for), licence, conclusion, sections (level, title and characters of each),
// source, source_sha256 and text.
//
// What the network said is in the ledger: the same call with the same ledger goes on, and returns the same in
// the end however often it was interrupted.  Throws FetchError, FetchStopped, std::invalid_argument for a bad
// query, and std::runtime_error if no document is left, saying why.
Gathered fetch_arxiv(FetchContext& context, const ArxivQuery& query, const ArxivServers& servers,
                     const PaperReader& reader, const ListingLimits& limits = {});

// The documents that a manifest of such a corpus lists, fetched again.  Texts that have become others are
// dropped as "differs from the manifest".  Throws as fetch_arxiv(), and std::runtime_error naming what the
// manifest lacks.
Gathered rebuild_arxiv(FetchContext& context, const nlohmann::json& manifest, const ArxivServers& servers,
                       const PaperReader& reader);

// Whether an author says in a comment or an abstract that the paper is withdrawn.
bool says_withdrawn(std::string_view comment, std::string_view abstract);

}  // namespace deciban
