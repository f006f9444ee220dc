// Python's string and bytes literals, as RWKV's vocabularies spell tokens, to bytes.
#pragma once

#include <string>
#include <string_view>

#include "engine/export.h"

namespace deciban {

enum class PythonLiteral { text, bytes };

// The bytes of a literal's body (without prefix and quotes).  In text, \xHH, \uHHHH and \UHHHHHHHH are code
// points and the result is UTF-8; in bytes, \xHH is a byte and characters beyond ASCII are refused unless
// `raw` allows them. Known besides: \\ \' \" \n \r \t.  Throws std::invalid_argument saying what is wrong.
DECIBAN_API std::string unescape_python(std::string_view body, PythonLiteral kind, bool raw = false);

// The bytes of a whole literal: '...', "...", b'...' or b"...".  Throws std::invalid_argument.
DECIBAN_API std::string parse_python_literal(std::string_view literal);

}  // namespace deciban
