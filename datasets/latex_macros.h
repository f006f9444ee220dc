// A stream of TeX's tokens with the paper's own macros expanded, within bounds: what a paper may cost is
// limited whatever its macros do.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "datasets/latex_tokens.h"

namespace deciban {

using Tokens = std::vector<Token>;

// A bound was exceeded; what() says which.
struct LatexLimit : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct LatexLimits {
  std::size_t tokens = 4'000'000;  // read, copied or made by macros, all together
  std::size_t depth = 2000;        // of macros and files within each other
};

struct LatexMacro {
  std::size_t parameters = 0;
  std::optional<Tokens> first_default;  // \newcommand's optional first argument
  bool star = false;                    // a '*' may follow the name; it is dropped
  // \def's parameter text: what follows the name, then what follows each parameter.  Empty: all undelimited.
  std::vector<Tokens> delimiters;
  Tokens body;
};

class LatexStream {
 public:
  explicit LatexStream(const LatexLimits& limits = {}) : limits_(limits) {}

  // Files and tokens put in front of what is there.  A file's text must outlive the stream.
  void push_file(std::string_view text, std::size_t id);
  void push(Tokens tokens);
  void push(const Token& token);

  // The next token as it is; false at the end.  Throws LatexLimit.
  bool next(Token& token);
  // Puts a token back.
  void unread(const Token& token) { push(token); }
  // The id of the innermost file being read, and how many files are open.
  std::size_t file() const;
  std::size_t open_files() const { return files_.size(); }
  bool is_open(std::size_t id) const;
  // Ends the innermost file, with all macros in it.
  void end_file();

  // Argument reading.  None where there is no such argument; nothing is consumed then, but white space may.
  std::optional<Tokens> group();     // {…}, without its braces
  std::optional<Tokens> argument();  // {…} or one token or character, as TeX takes an argument
  std::optional<Tokens> bracket();   // […] directly behind
  bool star();                       // a '*' directly behind
  bool peek(Token& token);           // the next token, not consumed
  void skip_spaces();
  // The lexer of the innermost file, if the next token comes from it and not from a macro.
  LatexLexer* lexer();
  void letter_at(bool on);

  // Expands `token` if it is a macro of the paper: its body is what next() gives then.
  bool expand(const Token& token);
  bool is_macro(std::string_view name) const { return macros_.contains(name); }
  const LatexMacro* macro(std::string_view name) const;
  void define(std::string_view name, LatexMacro macro);
  const auto& macros() const { return macros_; }
  // A string that lives as long as the stream: for tokens made of new text.
  std::string_view keep(std::string text);

 private:
  struct Source {
    std::shared_ptr<const Tokens> tokens;  // null: a file
    std::size_t at = 0;
    std::size_t file = 0;  // index into files_
  };
  struct File {
    LatexLexer lexer;
    std::size_t id = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void spend(std::size_t tokens);
  void push_shared(std::shared_ptr<const Tokens> tokens);
  std::vector<Tokens> read_arguments(const LatexMacro& macro);
  Tokens until(const Tokens& delimiter);
  Tokens substitute(const LatexMacro& macro, const std::vector<Tokens>& arguments);

  const LatexLimits limits_;
  std::size_t spent_ = 0;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<File>> files_;
  bool at_ = false;
  std::unordered_map<std::string, std::shared_ptr<const LatexMacro>, Hash, std::equal_to<>> macros_;
  std::vector<std::unique_ptr<std::string>> kept_;
};

}  // namespace deciban
