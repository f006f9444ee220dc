#include "datasets/latex_definitions.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "datasets/latex_commands.h"
#include "datasets/paper_text.h"

namespace deciban {
namespace {

bool uses_internals(const Tokens& tokens) {
  return std::any_of(tokens.begin(), tokens.end(), [](const Token& token) {
    return token.kind == TokenKind::command && token.text.find('@') != std::string_view::npos;
  });
}

// A number of parameters, 0 to 9.
std::size_t count_of(const std::optional<Tokens>& tokens) {
  if (!tokens) return 0;
  const std::string text = one_line(plain_text(*tokens));
  return text.size() == 1 && text[0] >= '0' && text[0] <= '9' ? static_cast<std::size_t>(text[0] - '0') : 0;
}

}  // namespace

std::string plain_text(const Tokens& tokens) {
  std::string text;
  for (const Token& token : tokens) {
    if (token.kind == TokenKind::space || token.kind == TokenKind::paragraph) {
      text += ' ';
    } else {
      text += token.text;
    }
  }
  return text;
}

// What is being defined: \name or {\name}.  Empty if there is nothing of the kind.
std::string_view LatexDefinitions::command_name() {
  auto given = stream_.argument();
  if (!given) return {};
  for (const Token& token : *given) {
    if (token.kind == TokenKind::command) return token.text;
  }
  return {};
}

void LatexDefinitions::store(std::string_view name, LatexMacro macro, bool provide) {
  if (name.empty() || latex_command(name) != LatexCommand::none) return;
  if (provide && (stream_.is_macro(name) || latex_symbol(name))) return;
  if (plain_only_ &&
      (uses_internals(macro.body) || stream_.is_macro(name) || latex_symbol(name) || dropped_arguments(name)))
    return;
  stream_.define(name, std::move(macro));
}

void LatexDefinitions::new_command(bool provide) {
  stream_.star();
  const std::string_view name = command_name();
  LatexMacro macro;
  macro.parameters = count_of(stream_.bracket());
  stream_.skip_spaces();
  if (macro.parameters > 0) macro.first_default = stream_.bracket();
  auto body = stream_.argument();
  if (body) macro.body = std::move(*body);
  store(name, std::move(macro), provide);
}

// \NewDocumentCommand\name{m o O{x} s}{body}: an optional argument is taken as such only in front.
void LatexDefinitions::document_command(bool provide) {
  const std::string_view name = command_name();
  const auto specification = stream_.argument();
  auto body = stream_.argument();
  if (!specification || !body) return;
  LatexMacro macro;
  const std::string text = plain_text(*specification);
  bool supported = true;
  for (std::size_t i = 0; i < text.size() && supported; ++i) {
    if (text[i] == 'm') {
      ++macro.parameters;
    } else if ((text[i] == 'o' || text[i] == 'O') && macro.parameters == 0) {
      ++macro.parameters;
      macro.first_default.emplace();
      if (text[i] == 'O') i = std::min(text.find('}', i), text.size());
    } else if (text[i] != ' ' && text[i] != '+') {
      supported = false;
    }
  }
  if (!supported || macro.parameters > 9) return;
  macro.body = std::move(*body);
  store(name, std::move(macro), provide);
}

void LatexDefinitions::def() {
  const std::string_view name = command_name();
  LatexMacro macro;
  Tokens text;  // since the last parameter
  bool delimited = false;
  Token token;
  constexpr std::size_t kLongest = 200;
  for (std::size_t i = 0; i < kLongest && stream_.next(token); ++i) {
    if (token.kind == TokenKind::begin_group) {
      stream_.unread(token);
      break;
    }
    if (token.kind == TokenKind::parameter) {
      macro.delimiters.push_back(std::move(text));
      text.clear();
      ++macro.parameters;
      continue;
    }
    if (token.kind == TokenKind::text && token.text == "#") continue;
    if (macro.parameters == 0 && token.kind == TokenKind::space) continue;
    text.push_back(token);
    delimited = true;
  }
  macro.delimiters.push_back(std::move(text));
  if (!delimited) macro.delimiters.clear();
  auto body = stream_.group();
  if (!body) return;
  macro.body = std::move(*body);
  if (macro.parameters <= 9) store(name, std::move(macro));
}

void LatexDefinitions::let() {
  const std::string_view name = command_name();
  stream_.skip_spaces();
  Token token;
  if (!stream_.next(token)) return;
  if (token.kind == TokenKind::text && token.text.starts_with('=')) {
    if (token.text.size() > 1) {
      stream_.push(Tokens{{TokenKind::text, token.text.substr(1)}});
    } else {
      stream_.skip_spaces();
    }
    if (!stream_.next(token)) return;
  }
  if (token.kind != TokenKind::command || token.text == name) return;
  if (const LatexMacro* known = stream_.macro(token.text)) {
    store(name, LatexMacro(*known));
    return;
  }
  LatexMacro alias;
  // What the name means now, whatever the paper makes of it later: \let\old\emph \def\emph{\old …}.
  alias.body = {{TokenKind::primitive, token.text}};
  store(name, std::move(alias));
}

void LatexDefinitions::new_environment() {
  stream_.star();
  const auto given = stream_.argument();
  LatexEnvironment environment;
  environment.begin.parameters = count_of(stream_.bracket());
  stream_.skip_spaces();
  if (environment.begin.parameters > 0) environment.begin.first_default = stream_.bracket();
  auto begin = stream_.argument();
  auto end = stream_.argument();
  if (!given || !begin || !end) return;
  environment.begin.body = std::move(*begin);
  environment.end = std::move(*end);
  const std::string name = one_line(plain_text(*given));
  const EnvironmentKind kind = environment_kind(name);
  if (name.empty() || (kind != EnvironmentKind::plain && kind != EnvironmentKind::theorem)) return;
  if (plain_only_ && (uses_internals(environment.begin.body) || uses_internals(environment.end))) return;
  environments_[name] = std::move(environment);
}

void LatexDefinitions::new_theorem() {
  stream_.star();
  const auto environment = stream_.argument();
  stream_.bracket();
  const auto title = stream_.argument();
  stream_.bracket();
  if (!environment || !title) return;
  theorems_[one_line(plain_text(*environment))] = one_line(plain_text(*title));
}

void LatexDefinitions::math_operator() {
  stream_.star();
  const std::string_view name = command_name();
  auto body = stream_.argument();
  if (!body) return;
  LatexMacro macro;
  macro.body.push_back({TokenKind::command, "operatorname"});
  macro.body.push_back({TokenKind::begin_group, "{"});
  macro.body.insert(macro.body.end(), body->begin(), body->end());
  macro.body.push_back({TokenKind::end_group, "}"});
  store(name, std::move(macro));
}

void LatexDefinitions::paired_delimiter() {
  const std::string_view name = command_name();
  auto left = stream_.argument();
  auto right = stream_.argument();
  if (!left || !right) return;
  LatexMacro macro;
  macro.star = true;
  macro.parameters = 1;
  macro.body = std::move(*left);
  macro.body.push_back({TokenKind::parameter, "#1"});
  macro.body.insert(macro.body.end(), right->begin(), right->end());
  store(name, std::move(macro));
}

void LatexDefinitions::define(std::string_view name) {
  if (name == "def" || name == "gdef" || name == "edef" || name == "xdef") return def();
  if (name == "let") return let();
  if (name == "newenvironment" || name == "renewenvironment") return new_environment();
  if (name == "newtheorem" || name == "spnewtheorem") {
    new_theorem();
    if (name == "spnewtheorem") stream_.argument(), stream_.argument();  // its fonts
    return;
  }
  if (name == "declaretheorem") {
    stream_.bracket();
    if (const auto given = stream_.argument()) {
      std::string title = one_line(plain_text(*given));
      const std::string environment = title;
      if (!title.empty()) title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
      theorems_[environment] = title;
    }
    return;
  }
  if (name == "DeclareMathOperator") return math_operator();
  if (name == "DeclarePairedDelimiter") return paired_delimiter();
  if (name == "newif") {
    const std::string_view condition = command_name();
    if (condition.starts_with("if")) switches_.emplace(condition, false);
    return;
  }
  if (name.ends_with("DocumentCommand")) return document_command(name.starts_with("Provide"));
  new_command(name == "providecommand");
}

const LatexEnvironment* LatexDefinitions::environment(std::string_view name) const {
  const auto found = environments_.find(std::string(name));
  return found == environments_.end() ? nullptr : &found->second;
}

std::string_view LatexDefinitions::theorem(std::string_view environment) const {
  const auto found = theorems_.find(std::string(environment));
  if (found != theorems_.end()) return found->second;
  return theorem_name(environment);
}

bool LatexDefinitions::is_condition(std::string_view name) const {
  return latex_command(name) == LatexCommand::condition || switches_.contains(std::string(name));
}

bool LatexDefinitions::set_condition(std::string_view name) {
  const bool on = name.ends_with("true");
  if (!on && !name.ends_with("false")) return false;
  name.remove_suffix(on ? 4 : 5);
  const auto found = switches_.find("if" + std::string(name));
  if (found == switches_.end()) return false;
  found->second = on;
  return true;
}

// A number as far as one can be read; registers and unknown macros count as 0.
long LatexDefinitions::number() {
  stream_.skip_spaces();
  Token token;
  if (!stream_.next(token)) return 0;
  if (token.kind == TokenKind::command) return 0;
  if (token.kind != TokenKind::text) {
    stream_.unread(token);
    return 0;
  }
  long value = 0;
  const auto [end, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
  const auto used = static_cast<std::size_t>(end - token.text.data());
  if (error != std::errc{} || used == 0) {
    stream_.unread(token);
    return 0;
  }
  if (used < token.text.size()) {
    stream_.push(Tokens{{TokenKind::text, token.text.substr(used)}});
  } else if (stream_.peek(token) && token.kind == TokenKind::space) {
    stream_.next(token);  // a space ends a number and is part of it
  }
  return value;
}

bool LatexDefinitions::holds(std::string_view name) {
  if (const auto found = switches_.find(std::string(name)); found != switches_.end()) return found->second;
  if (name == "iftrue" || name == "ifpdf" || name == "ifpdftex" || name == "ifPDFTeX" || name == "ifvmode")
    return true;
  if (name == "ifx" || name == "if" || name == "ifcat") {
    Token first, second;
    if (!stream_.next(first) || !stream_.next(second)) return false;
    if (first.kind != TokenKind::command || second.kind != TokenKind::command)
      return first.kind == second.kind && first.text == second.text;
    const LatexMacro *a = stream_.macro(first.text), *b = stream_.macro(second.text);
    if (!a || !b)
      return first.text == second.text || (!a && !b && name == "ifx" && second.text == "undefined");
    return a == b || (a->parameters == b->parameters && plain_text(a->body) == plain_text(b->body));
  }
  if (name == "ifdefined") {
    Token token;
    if (!stream_.next(token)) return false;
    return token.kind == TokenKind::command &&
           (stream_.is_macro(token.text) || latex_command(token.text) != LatexCommand::none);
  }
  if (name == "ifnum" || name == "ifdim") {
    const long left = number();
    stream_.skip_spaces();
    Token relation;
    if (!stream_.next(relation)) return false;
    std::string_view sign = relation.text;
    if (relation.kind != TokenKind::text || sign.empty() ||
        (sign[0] != '<' && sign[0] != '>' && sign[0] != '=')) {
      stream_.unread(relation);
      return false;
    }
    if (sign.size() > 1) stream_.push(Tokens{{TokenKind::text, sign.substr(1)}});
    const long right = number();
    return sign[0] == '<' ? left < right : sign[0] == '>' ? left > right : left == right;
  }
  if (name == "ifodd") return number() % 2 != 0;
  if (name == "ifcase") return number() == 0;
  return false;
}

// Skips to behind the \else (if asked for) or \fi that belongs to the condition being read.
void LatexDefinitions::skip_branch(bool to_else) {
  Token token;
  for (std::size_t depth = 0; stream_.next(token);) {
    if (token.kind != TokenKind::command) continue;
    if (token.text == "fi") {
      if (depth-- == 0) return;
    } else if (token.text == "else" || token.text == "or") {
      if (depth == 0 && to_else && token.text == "else") return;
    } else if (token.text.starts_with("if") && token.text != "ifthenelse" && is_condition(token.text)) {
      ++depth;
    }
  }
}

void LatexDefinitions::condition(std::string_view name) {
  if (name == "fi") return;
  if (name == "else" || name == "or") return skip_branch(false);  // the branch that was taken ends here
  if (name == "ifthenelse") {
    const auto test = stream_.argument();
    auto yes = stream_.argument();
    auto no = stream_.argument();
    if (!test || !yes || !no) return;
    bool result = false;
    // \boolean{name} and \equal{a}{b}; anything else is taken for false.
    const std::string text = plain_text(*test);
    if (!test->empty() && test->front().text == "boolean") {
      std::string flag = text.substr(7);
      std::erase_if(flag, [](char c) { return c == '{' || c == '}' || c == ' '; });
      const auto found = switches_.find("if" + flag);
      result = found != switches_.end() && found->second;
    } else if (!test->empty() && test->front().text == "equal") {
      const std::size_t middle = text.find("}{");
      result = middle != std::string::npos && text.size() > 7 && text.back() == '}' &&
               text.substr(6, middle - 6) == text.substr(middle + 2, text.size() - middle - 3);
    }
    stream_.push(std::move(result ? *yes : *no));
    return;
  }
  if (!holds(name)) skip_branch(true);
}

void LatexDefinitions::read_style(std::string_view file) {
  LatexStream own(LatexLimits{.tokens = 200'000, .depth = 50});
  LatexDefinitions reader(own);
  reader.plain_only_ = true;
  own.push_file(file, 0);
  own.letter_at(true);
  Token token;
  std::size_t depth = 0;
  try {
    while (own.next(token)) {
      if (token.kind == TokenKind::begin_group) ++depth;
      if (token.kind == TokenKind::end_group && depth > 0) --depth;
      if (token.kind != TokenKind::command || latex_command(token.text) != LatexCommand::definition) continue;
      if (depth == 0) reader.define(token.text);
    }
  } catch (const LatexLimit&) {  // what was read up to there will do
  }
  for (const auto& [name, macro] : own.macros()) {
    if (!stream_.is_macro(name)) stream_.define(name, *macro);
  }
  for (auto& [name, environment] : reader.environments_) environments_.emplace(name, std::move(environment));
  for (auto& [name, title] : reader.theorems_) theorems_.emplace(name, std::move(title));
  for (const auto& [name, on] : reader.switches_) switches_.emplace(name, on);
}

}  // namespace deciban
