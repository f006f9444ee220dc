#include "cli/help_page.h"

#include <algorithm>

#include "cli/terminal.h"
#include "reports/display_text.h"

namespace deciban {
namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kColumn = 26;  // where descriptions begin

void append(std::string& text, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) text += line + "\n";
}

}  // namespace

std::string render(const HelpPage& page) {
  std::string text;
  append(text, wrap(page.usage, kWidth, 8));
  text += "\n";
  append(text, wrap(page.description, kWidth));
  for (const HelpGroup& group : page.groups) {
    if (group.entries.empty()) continue;
    text += "\n" + group.title + ":\n";
    for (const HelpEntry& entry : group.entries) {
      std::string left = "  " + entry.words;
      const std::vector<std::string> lines = wrap(entry.description, kWidth - kColumn);
      std::size_t first = 0;
      const std::size_t used = display_width(left);
      if (used + 2 <= kColumn && !lines.empty()) {
        left += std::string(kColumn - used, ' ') + lines[0];
        first = 1;
      }
      text += left + "\n";
      for (std::size_t i = first; i < lines.size(); ++i) text += std::string(kColumn, ' ') + lines[i] + "\n";
    }
  }
  if (!page.examples.empty()) text += "\nexamples:\n";
  for (const std::string& example : page.examples) text += "  " + example + "\n";
  return text;
}

}  // namespace deciban
