// A Hugging Face tokenizer.json as a plain struct: only BPE models, and only parts whose effect is known
// here.
//
// Every kind of normalizer, pre-tokenizer, model and decoder that is not known is refused by its name: a
// tokenizer that is nearly right would give wrong results silently.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/lm.h"
#include "engine/unicode_normalize.h"

namespace deciban {

struct NormalizerStep {
  enum class Kind { unicode, prepend, replace } kind = Kind::unicode;
  NormalForm form = NormalForm::nfc;  // unicode
  std::string pattern;                // replace: the literal text looked for, not empty
  std::string content;                // prepend, replace
};

// What becomes of the matches of a split's pattern.
enum class SplitBehaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };
enum class PrependScheme { first, always, never };

struct PretokenizerStep {
  enum class Kind { byte_level, split, digits, metaspace } kind = Kind::byte_level;
  // byte_level: bytes become characters (done by the model here), after splitting by GPT-2's regular
  // expression.
  bool add_prefix_space = false, use_regex = true;
  // split: by a regular expression or a literal text.
  std::string pattern;
  bool literal = false, invert = false;
  SplitBehaviour behaviour = SplitBehaviour::isolated;
  // digits: each alone, or in runs.
  bool individual_digits = false;
  // metaspace: spaces become `replacement`, one character, mostly U+2581.
  std::string replacement;
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};

struct AddedToken {
  Token id;
  std::string content;
  bool special = false, normalized = false, lstrip = false, rstrip = false, single_word = false;
};

struct DecoderRules {
  bool byte_level = false;                                   // characters stand for bytes, as in GPT-2
  bool byte_fallback = false;                                // <0xNN> is a byte
  std::vector<std::pair<std::string, std::string>> replace;  // in each token, in order
  std::string strip;                                         // one character, cut from the whole text's ends:
  std::size_t strip_left = 0, strip_right = 0;               // at most so many times
};

struct TokenizerJson {
  std::vector<NormalizerStep> normalizer;
  std::vector<PretokenizerStep> pretokenizer;
  std::vector<std::pair<std::string, Token>> vocabulary;    // in order of the id; ids and texts are unique
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  std::optional<std::string> unknown_token;
  bool byte_fallback = false, fuse_unknown = false, ignore_merges = false;
  std::vector<AddedToken> added_tokens;  // in order of the id
  std::optional<DecoderRules> decoder;   // none: tokens are joined as they are
  std::optional<Token> start_token;      // what the post-processor puts first, else a well-known added token
};

// Throws std::runtime_error that begins with `path` and names the field.
DECIBAN_API TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& path);

}  // namespace deciban
