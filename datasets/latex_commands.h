// What LaTeX's and the usual packages' commands and environments mean for the text of a paper: tables, in one
// place.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace deciban {

// Commands that have a meaning of their own in the walk over a paper; papers may not redefine them.
enum class LatexCommand {
  none,
  begin,
  end,
  section,  // and its relatives; see section_level()
  title,
  abstract,
  caption,
  footnote,
  footnote_text,
  citation,   // \cite and its relatives: left out
  reference,  // \ref and its relatives: left out
  label,      // left out without a trace
  item,
  line_break,  // a space in the text
  paragraph,
  inline_math,
  display_math,
  ensure_math,
  input,
  import,
  verbatim,  // \verb
  url,
  href,
  appendix,
  bibliography,
  acknowledgements,
  make_title,
  style_file,  // \usepackage
  definition,  // \newcommand, \def, \let, … ; see latex_definitions.h
  condition,   // \if…, \else, \fi
  letter_at,
  other_at,
  first_of_two,
  one_column_text,  // \twocolumn[…]
  optional_space,   // \xspace
  rule,
  dimension,      // \vskip 1em plus 1fil, \parindent=0pt, …
  named_command,  // \csname
  font_size,
};
LatexCommand latex_command(std::string_view name);

// 0 for \chapter, 1 for \section, … 5 for \subparagraph; part is 0 as well.
int section_level(std::string_view name);
// How large \Huge … \large are: 6 … 2; 0 for others.
int font_size_rank(std::string_view name);

// The text of a command without arguments: "\ss" → "ß".  None if it has none.
std::optional<std::string_view> latex_symbol(std::string_view name);
// The combining character of an accent command: "'" → U+0301.
std::optional<std::string_view> latex_accent(std::string_view name);
// The arguments of a command whose arguments are not text: 's' star, 'o' optional, 'm' mandatory, in order;
// what follows is text again.  None for unknown commands: their braces are taken for text.
std::optional<std::string_view> dropped_arguments(std::string_view name);

enum class EnvironmentKind {
  plain,      // its content is text like what is around it
  math,       // displayed
  math_rows,  // displayed, rows of aligned formulas
  raw,        // its content is no TeX and no text: code, comments
  drawing,    // left out: pictures, tables, algorithms
  floating,   // left out but for its captions
  abstract,
  front,     // title pages, keywords: left out, but a title may stand there
  left_out,  // acknowledgements
  bibliography,
  appendix,
  list,
  theorem,  // begins with its name
  document,
};
EnvironmentKind environment_kind(std::string_view name);
// Arguments behind \begin{name}, as in dropped_arguments().
std::string_view environment_arguments(std::string_view name);
// "Theorem" for theorem, thm, theorem*, …; empty if the name says nothing.
std::string_view theorem_name(std::string_view environment);

// TeX's quotes and dashes as Unicode: "``" → “, "--" → –.
std::string with_ligatures(std::string_view text);

}  // namespace deciban
