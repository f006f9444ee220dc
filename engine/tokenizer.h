// Text to token ids and back.  One class a scheme: bytes, the RWKV World trie, BPE from a tokenizer.json.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// Immutable after construction; any thread may use it.
class DECIBAN_API Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;    // "bytes", "world", "bpe:FILE"
  virtual std::string digest() const = 0;  // SHA-256 of the vocabulary's file (of the name for bytes)
  virtual std::size_t size() const = 0;    // highest id + 1
  // Whether a model with `rows` embedding rows can belong to this tokenizer.
  virtual bool fits(std::size_t rows) const = 0;
  virtual std::vector<Token> encode(std::string_view text) const = 0;
  // Concatenated bytes of the tokens; ids without bytes (0 in World, padding) give nothing.
  virtual std::string decode(std::span<const Token> tokens) const = 0;
  virtual std::string normalise(std::string_view text) const { return std::string(text); }
  // The document separator of models trained with this tokenizer (World 0, NeoX 0, Llama <s>), if known.
  virtual std::optional<Token> start_token() const = 0;
};

DECIBAN_API std::unique_ptr<Tokenizer> byte_tokenizer();
// From rwkv_vocab_v20230424.txt.  Throws naming file and line.
DECIBAN_API std::unique_ptr<Tokenizer> world_tokenizer(const std::filesystem::path& vocabulary);
// From a GGUF's tokenizer.ggml.tokens where tokenizer.ggml.model is "rwkv" (Checkpoint::vocabulary).  The
// published vocabulary has the digest of its file.  Throws naming the token.
DECIBAN_API std::unique_ptr<Tokenizer> world_tokenizer_from_tokens(const std::vector<std::string>& tokens);
// From a Hugging Face tokenizer.json (BPE models: ByteLevel, or SentencePiece-style with byte fallback).
DECIBAN_API std::unique_ptr<Tokenizer> bpe_tokenizer(const std::filesystem::path& tokenizer_json);
// From the text of one; `path` is for messages and the name.
DECIBAN_API std::unique_ptr<Tokenizer> parse_bpe_tokenizer(std::string_view json, const std::string& path);

// By file: tokenizer.json → BPE, anything else → World.  "bytes" → bytes.
DECIBAN_API std::unique_ptr<Tokenizer> open_tokenizer(const std::string& spec);

// The tokenizer for a checkpoint: vocabularies of at most 257 rows are bytes; else a tokenizer.json or a
// World vocabulary beside the model, then (65,536 rows) the World vocabulary in $XDG_DATA_HOME/deciban, or in
// an installed `rwkv` Python package.  Throws saying where it looked and how to get one; refuses one that
// does not fit `rows`. `spec` is a choice for open_tokenizer(), or "auto".  `embedded`: the vocabulary inside
// a GGUF of tokenizer.ggml.model "rwkv" (Checkpoint::vocabulary), which goes before files; empty if there is
// none.
DECIBAN_API std::unique_ptr<Tokenizer> find_tokenizer(const std::filesystem::path& model, std::size_t rows,
                                                      const std::string& spec,
                                                      const std::vector<std::string>& embedded = {});

}  // namespace deciban
