// A scientific paper as text with its parts named, read from arXiv's HTML (LaTeXML) or from its LaTeX source.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deciban {

// What becomes of mathematics: kept as TeX between dollars, left out, or replaced by one token "[MATH]".
enum class Math { tex, drop, token };

struct PaperOptions {
  Math math = Math::tex;
};

struct PaperSection {
  int level = 1;  // 1 section, 2 subsection, …
  std::string title;
  std::string text;  // its own text, without its subsections' ; paragraphs are separated by a blank line
};

// All strings are UTF-8 in NFC.  References, appendices and acknowledgements are cut.
struct Paper {
  std::string title;
  std::string abstract;
  std::vector<PaperSection> sections;  // in reading order
  std::string conclusion;              // with its subsections; empty if the paper has none
  std::string reason;                  // non-empty: not usable, and why; the other fields may be empty

  // Title, abstract, and the sections with their titles, as one text: what is evaluated.
  std::string text() const;
};

// A paper with nothing but the reason why it has no text.
Paper unusable_paper(std::string reason);

// One page of arxiv.org/html.  Never throws for what the page contains: a page that is not a paper (stub,
// fatal-error banner, "no HTML") comes back with `reason`.
Paper paper_from_html(std::string_view html, const PaperOptions& options = {});

// An e-print as arxiv.org/e-print serves it: a tar.gz tree, one gzipped file, a PDF, or a placeholder of a
// withdrawn paper.  Time and memory are bounded whatever the bytes are.
Paper paper_from_source(std::string_view eprint, const PaperOptions& options = {});

}  // namespace deciban
