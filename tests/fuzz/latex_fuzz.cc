// Any text as the only file of a LaTeX source, and as two files that may read each other (cut at the first
// NUL byte).
#include <cstdint>
#include <cstdlib>

#include "datasets/latex_text.h"
#include "tests/fuzz/paper_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deciban;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = bytes.find('\0');
  ArchiveContents contents;
  contents.members.push_back({"main.tex", std::string(bytes.substr(0, cut))});
  if (cut != std::string_view::npos)
    contents.members.push_back({"b.tex", std::string(bytes.substr(cut + 1))});
  const LatexSource source(std::move(contents));
  const auto main = source.main();
  if (!main) return 0;
  // Few tokens: what a macro bomb costs is known.
  const LatexLimits limits{.tokens = 200'000, .depth = 300};
  check_paper(paper_from_latex(source, *main, {Math::tex}, limits));
  check_paper(paper_from_latex(source, *main, {Math::token}, limits));
  return 0;
}
