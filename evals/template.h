// The small language of task files: texts with {expressions} over the fields of a data set's row
// (docs/tasks.md describes it for its users).
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

// "Question: {question|strip}\nAnswer:".  An expression is a field's path (choices.text, answers[].atext,
// choices.0), a 'string' or a number, and filters after it.  {{ and }} stand for braces.
class Template {
 public:
  Template() = default;
  // Throws std::invalid_argument saying where in the text and why.
  explicit Template(std::string_view source);
  const std::string& source() const { return source_; }

  // Throw std::runtime_error for a row that lacks a field or has something else in it.
  std::string text(const nlohmann::json& row) const;
  // What the expression gives, whatever its type, if the template is one expression alone; else its text.
  nlohmann::json value(const nlohmann::json& row) const;

  struct Expression;

 private:
  struct Part {
    std::string text;
    std::shared_ptr<const Expression> expression;  // null: the text
  };
  std::string source_;
  std::vector<Part> parts_;
};

// A value as it stands in a text: strings verbatim, integers in decimal.  Throws std::runtime_error for
// others.
std::string template_text(const nlohmann::json& value);

}  // namespace deciban
