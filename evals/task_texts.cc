#include "evals/task_texts.h"

#include <utility>

#include "evals/python_text.h"

namespace deciban {
namespace {

// re.sub(r"\[.*?\]", "", text): the shortest match, within a line.
std::string without_brackets(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '[') {
      const std::size_t end = text.find_first_of("]\n", i + 1);
      if (end != std::string_view::npos && text[end] == ']') {
        i = end + 1;
        continue;
      }
    }
    out += text[i++];
  }
  return out;
}

// re.sub of `open\s*([^close]*?)\s*close` by open, group, close: what stands between the two is stripped. The
// shortest group is the stripped text up to the next `close`; where none follows nothing matches.
std::string tight(std::string_view text, char open, char close) {
  std::string out;
  while (!text.empty()) {
    const std::size_t from = text.find(open);
    if (from == std::string_view::npos) break;
    const std::size_t to = text.find(close, from + 1);
    if (to == std::string_view::npos) break;
    out.append(text.substr(0, from + 1));
    out.append(python::strip(text.substr(from + 1, to - from - 1)));
    out += close;
    text.remove_prefix(to + 1);
  }
  out.append(text);
  return out;
}

// re.sub(r"/' [0-9]/", "/'[0-9]/", text): the original puts its pattern where a digit was.
std::string slashed_digits(std::string_view text) {
  constexpr std::string_view kStart = "/' ";
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with(kStart) && rest.size() > 4 && rest[3] >= '0' && rest[3] <= '9' && rest[4] == '/') {
      out += "/'[0-9]/";
      i += 5;
    } else {
      out += text[i++];
    }
  }
  return out;
}

constexpr std::pair<std::string_view, std::string_view> kBefore[] = {
    {" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."}, {" : ", ": "}, {" ; ", "; "},
    {" . ", ". "},  {" ! ", "! "},  {" ? ", "? "},  {" , ", ", "}};
constexpr std::pair<std::string_view, std::string_view> kAfter[] = {
    {"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="},  {" \u00b0 ", "\u00b0"},
    {" \n", "\n"},       {"\n ", "\n"},    {" N ", " 1 "}, {" 's", "'s"}};

}  // namespace

std::string hellaswag_text(std::string_view text) {
  const std::string titles = python::replace(python::strip(text), " [title]", ". ");
  return python::replace(without_brackets(titles), "  ", " ");
}

std::string wikitext_text(std::string_view page) {
  std::string text = slashed_digits(python::replace(page, "s '", "s'"));
  for (const auto& [from, to] : kBefore) text = python::replace(text, from, to);
  for (const auto& [open, close] : {std::pair('(', ')'), {'[', ']'}, {'{', '}'}, {'"', '"'}, {'\'', '\''}})
    text = tight(text, open, close);
  for (const auto& [from, to] : kAfter) text = python::replace(text, from, to);
  return text;
}

}  // namespace deciban
