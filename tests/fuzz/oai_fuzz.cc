// The input is an answer of arXiv's OAI-PMH interface; licences get their names.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "datasets/licence.h"
#include "datasets/oai.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (deciban::licence_name(bytes).empty()) std::abort();
  try {
    const deciban::OaiAnswer answer = deciban::parse_oai(bytes);
    if (!answer.error.empty() && !answer.records.empty()) std::abort();
    for (const deciban::OaiRecord& record : answer.records) {
      if (deciban::licence_name(record.licence).empty()) std::abort();
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
