// The input is an answer of arXiv's search API.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "datasets/atom.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const deciban::AtomFeed feed = deciban::parse_atom({reinterpret_cast<const char*>(data), size});
    if (!feed.error.empty() && !feed.entries.empty()) std::abort();
    for (const deciban::AtomEntry& entry : feed.entries) {
      // Ids become parts of URLs, dates are compared as text.
      if (entry.id.empty() || entry.id.find("..") != std::string::npos || entry.id.front() == '/') std::abort();
      if (entry.id.find_first_of("?#%& \\:") != std::string::npos || entry.version < 1) std::abort();
      if (entry.published.size() < 19 || entry.published[10] != 'T') std::abort();
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
