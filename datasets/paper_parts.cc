#include "datasets/paper_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <climits>

namespace deciban {
namespace {

// Less text than this is a placeholder, not a paper.
constexpr std::size_t kLeastBytes = 500;
// Text before the first heading counts as an introduction without a heading if it has a paragraph of this
// length; keywords, dates and dedications are shorter.
constexpr std::size_t kLeastParagraph = 300;

bool is_number(std::string_view word) {
  while (!word.empty() && (word.back() == '.' || word.back() == ':' || word.back() == ')'))
    word.remove_suffix(1);
  if (word.empty()) return true;
  const bool digits = std::all_of(word.begin(), word.end(), [](char c) {
    return (std::isdigit(static_cast<unsigned char>(c)) != 0) || c == '.';
  });
  const bool roman = word.find_first_not_of("ivxlc") == std::string_view::npos;
  return digits || roman;
}

// Lower-case words without numbers in front and punctuation at the end: "V. Conclusions:" → "conclusions".
std::string normalised(std::string_view title) {
  std::string text;
  for (const char c : one_line(title)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte) != 0 || c == ' ' || c == '&' || c == '.') {
      text += static_cast<char>(std::tolower(byte));
    } else if (c == '/' || c == '-') {
      text += ' ';
    }
  }
  constexpr std::string_view kParagraphSign = "\xC2\xA7";
  std::string_view rest = text;
  while (!rest.empty()) {
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    if (rest.starts_with(kParagraphSign)) {
      rest.remove_prefix(kParagraphSign.size());
      continue;
    }
    const std::size_t end = std::min(rest.find(' '), rest.size());
    // A heading that is nothing but a number stays as it is.
    if (end == rest.size() || !is_number(rest.substr(0, end))) break;
    rest.remove_prefix(end);
  }
  std::string result = one_line(rest);
  while (!result.empty() && (result.back() == '.' || result.back() == ' ')) result.pop_back();
  return result;
}

// Whether `text` is `word`, or begins with it as a whole word.
bool begins(std::string_view text, std::string_view word) {
  return text.starts_with(word) && (text.size() == word.size() || text[word.size()] == ' ');
}

bool goes_on(std::string_view text, std::string_view word) {
  return begins(text, word) && (begins(text.substr(std::min(text.size(), word.size() + 1)), "and") ||
                                begins(text.substr(std::min(text.size(), word.size() + 1)), "&"));
}

bool concludes(std::string_view title) {
  for (const std::string_view word :
       {"conclusion", "conclusions", "concluding remarks", "concluding remark", "concluding discussion",
        "outlook", "closing remarks", "final remarks", "general conclusions", "general conclusion"}) {
    if (begins(title, word)) return true;
  }
  if (title == "summary" || goes_on(title, "summary")) return true;
  for (const std::string_view word : {"discussion", "discussions"}) {
    if (!goes_on(title, word)) continue;
    const std::string_view second = title.substr(title.find(' ', word.size() + 1) + 1);
    if (begins(second, "conclusion") || begins(second, "conclusions") || begins(second, "concluding") ||
        begins(second, "summary") || begins(second, "outlook"))
      return true;
  }
  return false;
}

// "Title\n\ntext", either of which may be missing.
void append_part(std::string& out, std::string_view part) {
  if (part.empty()) return;
  if (!out.empty()) out += "\n\n";
  out += part;
}

std::size_t longest_paragraph(std::string_view text) {
  std::size_t longest = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    longest = std::max(longest, end);
    text.remove_prefix(std::min(text.size(), end + 2));
  }
  return longest;
}

}  // namespace

HeadingKind heading_kind(std::string_view title) {
  const std::string text = normalised(title);
  if (text == "abstract" || text == "abstracts") return HeadingKind::abstract;
  if (concludes(text)) return HeadingKind::conclusion;
  for (const std::string_view word : {"references", "reference", "bibliography", "literature cited"}) {
    if (begins(text, word) && text.size() <= word.size() + 10) return HeadingKind::references;
  }
  for (const std::string_view word : {"acknowledgements", "acknowledgments", "acknowledgement",
                                      "acknowledgment", "acknowledgements.", "acknowledgments."}) {
    if (begins(text, word)) return HeadingKind::acknowledgements;
  }
  for (const std::string_view word :
       {"appendix", "appendices", "supplementary material", "supplementary materials",
        "supplementary information", "supplemental material", "supplemental materials",
        "supporting information"}) {
    if (begins(text, word)) return HeadingKind::appendix;
  }
  for (const std::string_view word :
       {"contents", "table of contents", "keywords", "key words", "index terms"}) {
    if (text == word) return HeadingKind::contents;
  }
  return HeadingKind::other;
}

void PaperBuilder::begin_section(int level, std::string title) {
  drafts_.back().text.end_paragraph();
  has_chapters_ = has_chapters_ || level <= 0;
  Draft draft;
  draft.level = level;
  draft.title = one_line(title);
  draft.appendix = in_appendix_;
  drafts_.push_back(std::move(draft));
}

void PaperBuilder::drop_front_matter() {
  if (drafts_.size() == 1) drafts_.front().text = TextFlow();
}

Paper PaperBuilder::finish() {
  Paper paper;
  paper.title = nfc(one_line(title));
  paper.abstract = abstract.take();
  int top = INT_MAX;
  bool introduced = false;  // a heading says where the paper begins
  for (std::size_t i = 1; i < drafts_.size(); ++i) {
    top = std::min(top, drafts_[i].level);
    introduced = introduced || begins(normalised(drafts_[i].title), "introduction");
  }
  std::size_t conclusion_at = 0;  // one behind the index in paper.sections
  int cut_level = INT_MAX;        // sections deeper than this belong to one that is cut
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    Draft& draft = drafts_[i];
    const int level = i == 0 ? 1 : draft.level - top + 1;
    if (draft.appendix) continue;
    if (i > 0 && level > cut_level) continue;
    cut_level = INT_MAX;
    const HeadingKind kind = i == 0 ? HeadingKind::other : heading_kind(draft.title);
    std::string text = draft.text.take();
    if (i == 0 && (introduced || (longest_paragraph(text) < kLeastParagraph && drafts_.size() > 1))) continue;
    if (kind == HeadingKind::abstract && paper.abstract.empty()) {
      paper.abstract = std::move(text);
      continue;
    }
    if (kind != HeadingKind::other && kind != HeadingKind::conclusion) {
      cut_level = level;
      continue;
    }
    if (i == 0 && text.empty()) continue;
    bytes += text.size();
    paper.sections.push_back({level, i == 0 ? "" : nfc(draft.title), std::move(text)});
    if (kind == HeadingKind::conclusion && level == 1) conclusion_at = paper.sections.size();
  }
  if (conclusion_at > 0) {
    append_part(paper.conclusion, paper.sections[conclusion_at - 1].text);
    for (std::size_t i = conclusion_at; i < paper.sections.size() && paper.sections[i].level > 1; ++i) {
      append_part(paper.conclusion, paper.sections[i].title);
      append_part(paper.conclusion, paper.sections[i].text);
    }
  }
  if (bytes < kLeastBytes) paper.reason = fmt::format("too little text for a paper ({} bytes)", bytes);
  return paper;
}

std::string Paper::text() const {
  std::string out;
  append_part(out, title);
  append_part(out, abstract);
  for (const PaperSection& section : sections) {
    append_part(out, section.title);
    append_part(out, section.text);
  }
  return out;
}

}  // namespace deciban
