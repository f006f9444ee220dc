// A language model behind an HTTP server: OpenAI-style completions that echo the prompt's log-probabilities,
// or vLLM's prompt_logprobs (docs/plugins.md).
#pragma once

#include <memory>
#include <string>

#include "engine/lm.h"

namespace deciban {

// `words`: what follows "http:" in `spec` if that is no part of the address: URL[,KEY=VALUE…] with model,
// tokenizer, concurrency, batch, timeout, retries, context, echo.  The key comes from the environment only:
// $DECIBAN_HTTP_KEY, else $OPENAI_API_KEY.  Opening asks the server for a sample and throws
// std::runtime_error for one that cannot be reached or does not return the log-probabilities of prompts;
// std::invalid_argument for bad options.
DECIBAN_API std::unique_ptr<LanguageModel> open_http(const std::string& words, const std::string& spec,
                                                     const ModelOptions& options);
// Checks the words only.
DECIBAN_API void check_http(const std::string& words, const std::string& spec, const ModelOptions& options);

}  // namespace deciban
