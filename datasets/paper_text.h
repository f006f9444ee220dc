// Running text on its way from a marked-up paper to plain paragraphs: white space, holes left by citations,
// notes, Unicode.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/paper.h"

namespace deciban {

// Collects one text.  Whatever is added, the result is valid UTF-8 in NFC: paragraphs separated by a blank
// line, single spaces within them, no control characters.
class TextFlow {
 public:
  // UTF-8; every run of white space becomes one space, none at the ends of paragraphs.
  void add(std::string_view text);
  void space() { pending_space_ = true; }
  // Something was left out here (a citation, a reference, a formula).  Spaces and brackets that it leaves
  // empty, and those only, go as well: "as shown (see [3])." becomes "as shown.".
  void hole();
  void end_paragraph();
  // A footnote or caption: becomes a paragraph of its own after the one that it stands in.
  void note(std::string text);
  // Mathematics as TeX without its dollars.
  void math(std::string_view tex, bool display, Math how);

  bool empty() const { return paragraphs_.empty() && current_.empty() && notes_.empty(); }
  // Bytes collected so far: for limits.
  std::size_t size() const { return size_; }
  // Ends the last paragraph and returns all of them; the flow is empty afterwards.
  std::string take();

 private:
  void append_paragraph(std::string paragraph);

  std::string paragraphs_, current_;
  std::vector<std::string> notes_;
  bool pending_space_ = false;
  std::size_t size_ = 0;
};

// UTF-8 as it is; anything else is taken for Windows-1252, which old sources without a declared encoding are.
std::string as_utf8(std::string_view bytes);

// NFC of valid UTF-8; ill-formed bytes become U+FFFD.
std::string nfc(std::string_view text);

// The text as one line: paragraphs joined by spaces.
std::string one_line(std::string_view text);

// Code points of UTF-8.
std::size_t count_characters(std::string_view text);

}  // namespace deciban
