// \newcommand, \def, \let, \newenvironment, \newtheorem, \newif and what depends on them: the part of TeX's
// programming that papers use in their preambles.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "datasets/latex_macros.h"

namespace deciban {

struct LatexEnvironment {
  LatexMacro begin;
  Tokens end;
};

class LatexDefinitions {
 public:
  explicit LatexDefinitions(LatexStream& stream) : stream_(stream) {}

  // `name` is a command of LatexCommand::definition that was just read: reads what it defines.
  void define(std::string_view name);
  // `name` is one of LatexCommand::condition, or a paper's own: goes on with the branch that is taken.
  void condition(std::string_view name);
  bool is_condition(std::string_view name) const;
  // \footrue and \foofalse of \newif\iffoo; false if `name` is no such thing.
  bool set_condition(std::string_view name);

  const LatexEnvironment* environment(std::string_view name) const;
  // What a theorem environment of the paper's is called; empty for others.
  std::string_view theorem(std::string_view environment) const;

  // Takes over the plain definitions of a style file: those that use nothing internal.
  void read_style(std::string_view file);

 private:
  void new_command(bool provide);
  void document_command(bool provide);
  void def();
  void let();
  void new_environment();
  void new_theorem();
  void math_operator();
  void paired_delimiter();
  void store(std::string_view name, LatexMacro macro, bool provide = false);
  std::string_view command_name();
  bool holds(std::string_view name);
  long number();
  void skip_branch(bool to_else);

  LatexStream& stream_;
  std::unordered_map<std::string, LatexEnvironment> environments_;
  std::unordered_map<std::string, std::string> theorems_;
  std::unordered_map<std::string, bool> switches_;  // of \newif, by name with "if"
  bool plain_only_ = false;                         // within a style file
};

// The tokens' characters one after the other, commands by their names.
std::string plain_text(const Tokens& tokens);

}  // namespace deciban
