// Licences of texts: short names for their URLs, and which of them let others pass a text on.
#pragma once

#include <string>
#include <string_view>

namespace deciban {

// "CC-BY-4.0" for "http://creativecommons.org/licenses/by/4.0/"; "arXiv-1.0" for arXiv's own, under which
// only arXiv may pass a text on; "unknown" for an empty one; any other URL as it is.
std::string licence_name(std::string_view url);

// Whether everybody may pass on a text under it, changed or not, for any purpose: CC0, CC BY, CC BY-SA, the
// public domain.
bool is_open_licence(std::string_view name);

}  // namespace deciban
