// Published scores of public checkpoints on public texts, to check an installation from end to end: engine,
// tokenizer, windows and sums together (figures of Hakureirm/rwkv-sglang, bench/results at dbcb3b6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace deciban {

struct PublishedCorpus {
  std::string_view name;     // also the file's stem
  std::string_view digest;   // SHA-256 of the file
  std::uint64_t bytes = 0;   // of its 20 texts
  std::uint64_t tokens = 0;  // World tokens, without start tokens
};

struct PublishedModel {
  std::string_view name;
  std::string_view family;
  std::size_t layers = 0, width = 0;  // how a file is recognised
  std::string_view where;             // to get the weights
};

// Summed over the corpus's documents, each whole after start token 0, weights in f16.
struct PublishedScore {
  std::size_t model = 0;  // index into published_models()
  std::string_view corpus;
  double nats = 0;
};

// Largest relative difference that numbers computed in f16 or f32 may have.
inline constexpr double kPublishedTolerance = 1e-4;

std::span<const PublishedCorpus> published_corpora();
std::span<const PublishedModel> published_models();
std::span<const PublishedScore> published_scores();
std::string_view published_corpora_source();  // where the texts come from

}  // namespace deciban
