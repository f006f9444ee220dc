// Where the text of a LaTeX source goes at each moment: groups, environments and captured arguments, one
// within the other, without recursion.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/latex_commands.h"
#include "datasets/paper_parts.h"
#include "datasets/paper_text.h"

namespace deciban {

// Arguments whose text goes elsewhere than what is around them.
enum class Capture { title, heading, caption, note, abstract };

class LatexFrames {
 public:
  explicit LatexFrames(PaperBuilder& builder) : builder_(builder) {}

  // Where text goes now.  While muted(), it goes nowhere.
  TextFlow& flow();
  bool muted() const;
  bool in_document() const { return in_document_; }
  void begin_document() { in_document_ = true; }
  std::size_t text_size();

  void open_group();
  // Closes the innermost group or captured argument; a brace that closes nothing is ignored.
  void close_group();
  void open_capture(Capture target, int level);
  // Throws LatexLimit if they are nested too deep.
  void open_environment(const std::string& name, EnvironmentKind kind);
  // Closes it and what was left open within it; false if it is not open.
  bool close_environment(std::string_view name);
  // Before a heading: closes floats, title pages and captured arguments that were never closed.
  void unwind_for_heading();
  void unwind_all();

  // A size command on a page without \title: the largest text there is the title.
  void font_size(int rank);
  const std::string& front_title() const { return front_title_; }

 private:
  enum class Kind { group, environment, capture };
  struct Frame {
    Kind kind = Kind::group;
    std::string name;  // of an environment
    Capture capture = Capture::note;
    int level = 0;
    bool has_sink = false;    // it has a flow of its own on sinks_
    bool large_text = false;  // it holds a text that may be the title
  };
  struct Sink {
    TextFlow flow;
    bool null = false;  // what goes there is lost
  };

  void push(Frame frame, bool null);
  void pop();
  void finish(const Frame& frame, Sink sink);
  void end_large_text();

  PaperBuilder& builder_;
  std::vector<Frame> frames_;
  std::vector<Sink> sinks_;
  TextFlow lost_;
  bool in_document_ = false;
  int largest_ = 1;
  std::string front_title_;
  std::size_t taken_ = 0;  // bytes that went to the paper already
};

}  // namespace deciban
