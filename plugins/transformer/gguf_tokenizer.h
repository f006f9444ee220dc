// The tokenizer inside a GGUF, written as the tokenizer.json that it came from, so that the engine's own
// reader does the rest.
#pragma once

#include <memory>
#include <string>

#include "engine/checkpoint.h"
#include "engine/tokenizer.h"

namespace deciban::transformer {

// tokenizer.ggml.model "gpt2" (byte-level BPE) with a known tokenizer.ggml.pre, or "llama" (SentencePiece BPE
// with byte fallback).  Throws std::runtime_error("WHERE: …") naming what it does not know.
std::unique_ptr<Tokenizer> gguf_tokenizer(const Checkpoint& checkpoint, const std::string& where);
// The text of that tokenizer.json.
std::string gguf_tokenizer_json(const Checkpoint& checkpoint, const std::string& where);

}  // namespace deciban::transformer
