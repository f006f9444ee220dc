// Unicode normalisation as the tokenizers of language models do it.
#pragma once

#include <string>
#include <string_view>

#include "engine/export.h"

namespace deciban {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// `text` must be valid UTF-8.  The tables are those of the tokenizers library that models were trained with:
// combining marks and compositions that came after Unicode 9 stay as they are.
DECIBAN_API std::string normalize(std::string_view text, NormalForm form);

}  // namespace deciban
