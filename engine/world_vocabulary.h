// The RWKV World vocabulary: reading its file, or the copy of it inside a GGUF.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/export.h"

namespace deciban {

// Bytes by id.  Ids without bytes (0, the document separator, and any gap) are empty.
using WorldVocabulary = std::vector<std::string>;

// Parses lines `ID LITERAL BYTELEN` (Python literals, LF or CRLF).  Ids ascend from 1, at most 65,535; every
// single byte must be a token, so that encoding cannot fail.  Throws std::runtime_error that begins
// "PATH:LINE: ".
DECIBAN_API WorldVocabulary parse_world_vocabulary(std::string_view text, const std::string& path);

// From GGUF's tokenizer.ggml.tokens of model "rwkv": bodies of bytes literals, by id.  Entry 0 ("<s>") and
// the padding "[PADn]" at its own place n have no bytes.  Throws std::runtime_error naming the id.
DECIBAN_API WorldVocabulary unescape_world_tokens(const std::vector<std::string>& tokens);

// What tokenizers and records know the vocabulary by: the SHA-256 of the file with LF line ends, so that
// copies with CRLF are the same vocabulary.
DECIBAN_API std::string world_file_digest(std::string_view text);

// The same digest for a vocabulary that came without its file, if it is the published one; else a SHA-256 of
// the tokens themselves.
DECIBAN_API std::string world_token_digest(const WorldVocabulary& vocabulary);

}  // namespace deciban
