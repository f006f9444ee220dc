// Bytes as letters (RFC 4648, with padding), for what JSON cannot carry: rows of floats, bytes that are no
// UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "engine/export.h"

namespace deciban {

DECIBAN_API std::string base64(std::string_view bytes);
// Throws std::invalid_argument naming the place of what does not belong there.
DECIBAN_API std::string from_base64(std::string_view text);

}  // namespace deciban
