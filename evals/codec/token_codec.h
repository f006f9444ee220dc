// Token sequences to bytes and back with a model's probabilities, many sequences in lockstep, so that
// encoding and decoding are matrix products.
//
// Both directions take the same steps of the same batch.  On the CPU a sequence's logits do not depend on
// what is computed beside it, so any number of threads gives the same bytes; elsewhere it takes a
// deterministic mode and the same number of streams.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lm.h"

namespace deciban {

struct CodecOptions {
  std::size_t streams = 1;  // sequences in lockstep
  std::optional<Token>
      start;  // what every sequence follows; none: its first token is coded as one of all alike
  const std::atomic<bool>* stop = nullptr;
  std::function<void(std::size_t tokens)> progress;  // coded since the last call
};

// Thrown when CodecOptions::stop became true.
struct CodingStopped {};

// The code of each sequence.  Throws std::runtime_error if the model cannot step.
std::vector<std::string> encode_tokens(LanguageModel& model, std::span<const std::vector<Token>> sequences,
                                       const CodecOptions& options);

struct CodedTokens {
  std::string_view code;
  std::size_t tokens = 0;
};
std::vector<std::vector<Token>> decode_tokens(LanguageModel& model, std::span<const CodedTokens> coded,
                                              const CodecOptions& options);

}  // namespace deciban
