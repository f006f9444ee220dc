#include "cli/fetch.h"

#include <stdexcept>

namespace deciban {
int fetch(const std::string&, const std::string&, const Console&) { throw std::runtime_error("not yet"); }
}  // namespace deciban
