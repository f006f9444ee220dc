// What holds of every paper that a reader returns, whatever it was given.
#pragma once

#include <cstdlib>
#include <string>

#include "datasets/paper.h"
#include "datasets/paper_text.h"

namespace deciban {

inline void check_paper(const Paper& paper) {
  const auto check = [](const std::string& text) {
    // NFC and valid UTF-8, no control characters (the mark of a hole is one), no blank ends.
    if (nfc(text) != text) std::abort();
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n') std::abort();
    }
    if (!text.empty() &&
        (text.front() == ' ' || text.front() == '\n' || text.back() == ' ' || text.back() == '\n'))
      std::abort();
  };
  check(paper.title);
  check(paper.abstract);
  check(paper.conclusion);
  for (const PaperSection& section : paper.sections) {
    if (section.level < 1) std::abort();
    check(section.title);
    check(section.text);
  }
}

}  // namespace deciban
