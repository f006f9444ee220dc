#include "datasets/latex_macros.h"

#include <fmt/format.h>

#include <algorithm>

namespace deciban {
namespace {

bool same(const Token& a, const Token& b) {
  if (a.kind != b.kind) return false;
  return a.kind == TokenKind::space || a.kind == TokenKind::paragraph || a.text == b.text;
}

// Text tokens cut into single characters, so that they can be compared one by one.
Tokens characters_of(const Tokens& tokens) {
  Tokens result;
  for (const Token& token : tokens) {
    if (token.kind != TokenKind::text) {
      result.push_back(token);
      continue;
    }
    for (std::string_view rest = token.text; !rest.empty();) {
      const std::size_t bytes = first_character(rest);
      result.push_back({TokenKind::text, rest.substr(0, bytes)});
      rest.remove_prefix(bytes);
    }
  }
  return result;
}

}  // namespace

void LatexStream::spend(std::size_t tokens) {
  spent_ += tokens;
  if (spent_ > limits_.tokens) {
    throw LatexLimit(
        fmt::format("its macros and files expand to more than {} tokens: refused", limits_.tokens));
  }
}

void LatexStream::push_file(std::string_view text, std::size_t id) {
  if (sources_.size() >= limits_.depth)
    throw LatexLimit(fmt::format("its files are nested more than {} deep: refused", limits_.depth));
  files_.push_back(std::make_unique<File>(File{LatexLexer(text), id}));
  files_.back()->lexer.letter_at(at_);
  sources_.push_back({nullptr, 0, files_.size() - 1});
}

void LatexStream::push(Tokens tokens) {
  if (tokens.empty()) return;
  spend(tokens.size());
  push_shared(std::make_shared<const Tokens>(std::move(tokens)));
}

void LatexStream::push_shared(std::shared_ptr<const Tokens> tokens) {
  // Sources that are used up go first, so that a macro ending in itself does not pile up.
  while (!sources_.empty() && sources_.back().tokens && sources_.back().at == sources_.back().tokens->size())
    sources_.pop_back();
  if (sources_.size() >= limits_.depth)
    throw LatexLimit(fmt::format("its macros are nested more than {} deep: refused", limits_.depth));
  sources_.push_back({std::move(tokens), 0, 0});
}

void LatexStream::push(const Token& token) {
  if (!sources_.empty() && sources_.back().tokens && sources_.back().at > 0) {
    Source& top = sources_.back();
    const Token& before = (*top.tokens)[top.at - 1];
    if (before.kind == token.kind && before.text.data() == token.text.data() &&
        before.text.size() == token.text.size()) {
      --top.at;
      return;
    }
  }
  push(Tokens{token});
}

bool LatexStream::next(Token& token) {
  while (!sources_.empty()) {
    Source& top = sources_.back();
    if (top.tokens) {
      if (top.at < top.tokens->size()) {
        token = (*top.tokens)[top.at++];
        spend(1);
        return true;
      }
      sources_.pop_back();
      continue;
    }
    if (files_[top.file]->lexer.next(token)) {
      spend(1);
      return true;
    }
    files_.pop_back();
    sources_.pop_back();
  }
  return false;
}

std::size_t LatexStream::file() const { return files_.empty() ? 0 : files_.back()->id; }

bool LatexStream::is_open(std::size_t id) const {
  return std::any_of(files_.begin(), files_.end(), [&](const auto& file) { return file->id == id; });
}

void LatexStream::end_file() {
  while (!sources_.empty()) {
    const bool file = sources_.back().tokens == nullptr;
    sources_.pop_back();
    if (!file) continue;
    files_.pop_back();
    return;
  }
}

bool LatexStream::peek(Token& token) {
  if (!next(token)) return false;
  unread(token);
  return true;
}

void LatexStream::skip_spaces() {
  Token token;
  while (next(token)) {
    if (token.kind == TokenKind::space) continue;
    unread(token);
    return;
  }
}

LatexLexer* LatexStream::lexer() {
  while (!sources_.empty() && sources_.back().tokens && sources_.back().at == sources_.back().tokens->size())
    sources_.pop_back();
  return sources_.empty() || sources_.back().tokens ? nullptr : &files_[sources_.back().file]->lexer;
}

void LatexStream::letter_at(bool on) {
  at_ = on;
  for (const auto& file : files_) file->lexer.letter_at(on);
}

std::optional<Tokens> LatexStream::group() {
  skip_spaces();
  Token token;
  if (!next(token)) return std::nullopt;
  if (token.kind != TokenKind::begin_group) {
    unread(token);
    return std::nullopt;
  }
  Tokens tokens;
  for (std::size_t depth = 1; next(token);) {
    if (token.kind == TokenKind::begin_group) ++depth;
    if (token.kind == TokenKind::end_group && --depth == 0) return tokens;
    tokens.push_back(token);
  }
  // A brace that is never closed: what follows it is text like any other.
  push(std::move(tokens));
  return std::nullopt;
}

std::optional<Tokens> LatexStream::argument() {
  skip_spaces();
  Token token;
  if (!next(token)) return std::nullopt;
  if (token.kind == TokenKind::begin_group) {
    unread(token);
    return group();
  }
  if (token.kind == TokenKind::end_group || token.kind == TokenKind::paragraph) {
    unread(token);
    return std::nullopt;
  }
  if (token.kind == TokenKind::text) {
    const std::size_t bytes = first_character(token.text);
    if (bytes < token.text.size()) push(Tokens{{TokenKind::text, token.text.substr(bytes)}});
    token.text = token.text.substr(0, bytes);
  }
  return Tokens{token};
}

std::optional<Tokens> LatexStream::bracket() {
  Token token;
  if (!next(token)) return std::nullopt;
  if (token.kind != TokenKind::text || token.text != "[") {
    unread(token);
    return std::nullopt;
  }
  // Options are short: a bracket that is not closed soon is text.
  constexpr std::size_t kLongest = 4000;
  Tokens tokens;
  for (std::size_t depth = 0; tokens.size() < kLongest && next(token);) {
    if (token.kind == TokenKind::begin_group) ++depth;
    if (token.kind == TokenKind::end_group) {
      if (depth == 0) {
        tokens.push_back(token);
        break;
      }
      --depth;
    }
    if (depth == 0 && token.kind == TokenKind::text && token.text == "]") return tokens;
    if (token.kind == TokenKind::paragraph && depth == 0) {
      tokens.push_back(token);
      break;
    }
    tokens.push_back(token);
  }
  tokens.insert(tokens.begin(), Token{TokenKind::text, "["});
  push(std::move(tokens));
  return std::nullopt;
}

bool LatexStream::star() {
  Token token;
  if (!next(token)) return false;
  if (token.kind != TokenKind::text || !token.text.starts_with('*')) {
    unread(token);
    return false;
  }
  if (token.text.size() > 1) push(Tokens{{TokenKind::text, token.text.substr(1)}});
  return true;
}

const LatexMacro* LatexStream::macro(std::string_view name) const {
  const auto found = macros_.find(name);
  return found == macros_.end() ? nullptr : found->second.get();
}

void LatexStream::define(std::string_view name, LatexMacro macro) {
  macros_[std::string(name)] = std::make_shared<const LatexMacro>(std::move(macro));
}

std::string_view LatexStream::keep(std::string text) {
  kept_.push_back(std::make_unique<std::string>(std::move(text)));
  return *kept_.back();
}

// Tokens up to `delimiter`, which is consumed; braces protect what they hold.
Tokens LatexStream::until(const Tokens& delimiter) {
  const Tokens wanted = characters_of(delimiter);
  constexpr std::size_t kLongest = 4000;  // else the delimiter is missing: TeX would have stopped
  Tokens tokens;
  Token token;
  std::size_t depth = 0, matched = 0;
  while (tokens.size() < kLongest && next(token)) {
    if (token.kind == TokenKind::text && first_character(token.text) < token.text.size()) {
      const std::size_t bytes = first_character(token.text);
      push(Tokens{{TokenKind::text, token.text.substr(bytes)}});
      token.text = token.text.substr(0, bytes);
    }
    if (token.kind == TokenKind::begin_group) ++depth;
    if (token.kind == TokenKind::end_group && depth > 0) --depth;
    tokens.push_back(token);
    matched = depth == 0 && same(token, wanted[matched]) ? matched + 1
              : depth == 0 && same(token, wanted[0])     ? 1
                                                         : 0;
    if (matched == wanted.size()) {
      tokens.resize(tokens.size() - wanted.size());
      break;
    }
  }
  // TeX takes the braces off an argument that is one group.
  if (tokens.size() >= 2 && tokens.front().kind == TokenKind::begin_group &&
      tokens.back().kind == TokenKind::end_group) {
    std::size_t level = 0;
    bool one = true;
    for (std::size_t i = 0; i + 1 < tokens.size() && one; ++i) {
      if (tokens[i].kind == TokenKind::begin_group) ++level;
      if (tokens[i].kind == TokenKind::end_group) one = --level > 0;
    }
    if (one) {
      tokens.pop_back();
      tokens.erase(tokens.begin());
    }
  }
  return tokens;
}

std::vector<Tokens> LatexStream::read_arguments(const LatexMacro& macro) {
  std::vector<Tokens> arguments;
  if (macro.star) star();
  if (!macro.delimiters.empty() && !macro.delimiters[0].empty()) until(macro.delimiters[0]);
  for (std::size_t i = 0; i < macro.parameters; ++i) {
    if (i == 0 && macro.first_default) {
      auto given = bracket();
      arguments.push_back(given ? std::move(*given) : *macro.first_default);
    } else if (i + 1 < macro.delimiters.size() && !macro.delimiters[i + 1].empty()) {
      arguments.push_back(until(macro.delimiters[i + 1]));
    } else {
      auto given = argument();
      arguments.push_back(given ? std::move(*given) : Tokens{});
    }
  }
  return arguments;
}

Tokens LatexStream::substitute(const LatexMacro& macro, const std::vector<Tokens>& arguments) {
  Tokens result;
  result.reserve(macro.body.size());
  for (const Token& token : macro.body) {
    if (token.kind != TokenKind::parameter) {
      result.push_back(token);
      continue;
    }
    if (token.text.starts_with("##")) {  // a parameter of a macro defined within this one
      result.push_back({TokenKind::parameter, token.text.substr(1)});
      continue;
    }
    const std::size_t index = static_cast<std::size_t>(token.text.back() - '1');
    if (index >= arguments.size()) continue;
    spend(arguments[index].size());
    result.insert(result.end(), arguments[index].begin(), arguments[index].end());
  }
  return result;
}

bool LatexStream::expand(const Token& token) {
  if (token.kind != TokenKind::command) return false;
  const auto found = macros_.find(token.text);
  if (found == macros_.end()) return false;
  const std::shared_ptr<const LatexMacro> macro = found->second;  // the body may define it anew
  spend(1);
  if (macro->parameters == 0 && macro->delimiters.empty() && !macro->star) {
    if (!macro->body.empty()) push_shared({macro, &macro->body});
    return true;
  }
  push(substitute(*macro, read_arguments(*macro)));
  return true;
}

}  // namespace deciban
