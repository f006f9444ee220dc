// The parts of a paper: what its headings say, which are cut, which is the conclusion.  Both readers, of HTML
// and of LaTeX, hand their text over here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "datasets/paper.h"
#include "datasets/paper_text.h"

namespace deciban {

enum class HeadingKind { other, abstract, conclusion, references, appendix, acknowledgements, contents };

// What a section is, by its title alone: numbers, case and punctuation do not matter.
HeadingKind heading_kind(std::string_view title);

// Takes a paper's text in reading order.
class PaperBuilder {
 public:
  // Levels are relative: 0 chapter, 1 section, 2 subsection, …  All that follows belongs to it.
  void begin_section(int level, std::string title);
  // All sections from here on are appendices.
  void begin_appendix() { in_appendix_ = true; }
  // What came so far without a heading was front matter (title page, authors).
  void drop_front_matter();
  TextFlow& body() { return drafts_.back().text; }

  std::string title;
  TextFlow abstract;

  std::size_t sections() const { return drafts_.size() - 1; }  // begun so far, cut ones too
  bool has_chapters() const { return has_chapters_; }
  // The finished paper; `reason` is set if there is too little text to be one.
  Paper finish();

 private:
  struct Draft {
    int level = 1;
    std::string title;
    bool appendix = false;
    TextFlow text;
  };

  std::vector<Draft> drafts_ = std::vector<Draft>(1);  // the first: what comes before the first heading
  bool in_appendix_ = false, has_chapters_ = false;
};

}  // namespace deciban
