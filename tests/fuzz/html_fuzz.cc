// Any bytes as a page of arxiv.org/html: a paper or a reason.  What a page may cost is kept small, so that
// the fuzzer looks for crashes and not for patience.
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/paper_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const deciban::Math math : {deciban::Math::tex, deciban::Math::drop})
    deciban::check_paper(deciban::paper_from_html(bytes, {math}));
  return 0;
}
