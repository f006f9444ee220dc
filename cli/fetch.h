// deciban fetch: the only command that uses the network.
#pragma once

#include <string>

#include "cli/console.h"

namespace deciban {

// "vocab:world": the RWKV World vocabulary, to where models look for it.  Throws std::invalid_argument for an
// unknown source.
int fetch(const std::string& source, const std::string& output, const Console& console);

}  // namespace deciban
