// The text of --help: usage, what the command does, its options in columns, examples; at most 80 columns
// wide.
#pragma once

#include <string>
#include <vector>

namespace deciban {

struct HelpEntry {
  std::string words;  // "-m, --model MODEL …"
  std::string description;
};

struct HelpGroup {
  std::string title;
  std::vector<HelpEntry> entries;
};

struct HelpPage {
  std::string usage, description;
  std::vector<HelpGroup> groups;
  std::vector<std::string> examples;
};

std::string render(const HelpPage& page);

}  // namespace deciban
