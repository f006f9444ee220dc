// What llama.cpp makes of texts: its tokens, and each token's log-probability given those before it.
//
//   llama_logprobs MODEL.gguf TEXT… > FILE.jsonl      one JSON object a text: file, bytes, tokens, logprobs
//
// No start token; special tokens in a text are text.  The cache of keys and values is f32.
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<llama_token> tokens_of(const llama_vocab* vocabulary, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(vocabulary, text.data(), static_cast<int>(text.size()), tokens.data(),
                                   static_cast<int>(tokens.size()), false, false);
  if (count < 0) throw std::runtime_error("llama_tokenize failed");
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

double log_probability(const float* logits, int n, int target) {
  const float top = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - top);
  return logits[target] - top - std::log(sum);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: llama_logprobs MODEL.gguf TEXT…");
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) throw std::runtime_error(std::string(argv[1]) + " was not loaded");
  constexpr int kLongest = 4096, kChunk = 256;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = kLongest;
  params.n_batch = params.n_ubatch = kChunk;
  params.type_k = params.type_v = GGML_TYPE_F32;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) throw std::runtime_error("no context");
  const llama_vocab* vocabulary = llama_model_get_vocab(model);
  const int size = llama_vocab_n_tokens(vocabulary);
  llama_batch batch = llama_batch_init(kChunk, 0, 1);
  for (int file = 2; file < argc; ++file) {
    std::ifstream in(argv[file], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const std::vector<llama_token> tokens = tokens_of(vocabulary, text);
    if (tokens.size() > kLongest) throw std::runtime_error(std::string(argv[file]) + " is too long");
    llama_memory_clear(llama_get_memory(context), true);
    std::vector<double> found;
    for (int at = 0; at < static_cast<int>(tokens.size()); at += kChunk) {
      batch.n_tokens = 0;
      const int count = std::min(kChunk, static_cast<int>(tokens.size()) - at);
      for (int i = 0; i < count; ++i) {
        const int n = batch.n_tokens++;
        batch.token[n] = tokens[at + i];
        batch.pos[n] = at + i;
        batch.n_seq_id[n] = 1;
        batch.seq_id[n][0] = 0;
        batch.logits[n] = 1;
      }
      if (llama_decode(context, batch) != 0) throw std::runtime_error("llama_decode failed");
      for (int i = 0; i < count && at + i + 1 < static_cast<int>(tokens.size()); ++i) {
        found.push_back(log_probability(llama_get_logits_ith(context, i), size, tokens[at + i + 1]));
      }
    }
    const std::string path = argv[file];
    std::printf("{\"file\":\"%s\",\"bytes\":%zu,\"tokens\":[", path.substr(path.rfind('/') + 1).c_str(),
                text.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) std::printf("%s%d", i == 0 ? "" : ",", tokens[i]);
    std::printf("],\"logprobs\":[");
    for (std::size_t i = 0; i < found.size(); ++i) std::printf("%s%.6f", i == 0 ? "" : ",", found[i]);
    std::printf("]}\n");
  }
  llama_batch_free(batch);
  llama_free(context);
  llama_model_free(model);
} catch (const std::exception& e) {
  std::cerr << "llama_logprobs: " << e.what() << "\n";
  return 1;
}
