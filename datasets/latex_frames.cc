#include "datasets/latex_frames.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/latex_macros.h"

namespace deciban {
namespace {

constexpr std::size_t kDeepest = 5000;

bool is_null(EnvironmentKind kind) {
  return kind == EnvironmentKind::drawing || kind == EnvironmentKind::floating ||
         kind == EnvironmentKind::front || kind == EnvironmentKind::left_out;
}

}  // namespace

TextFlow& LatexFrames::flow() {
  if (!sinks_.empty()) return sinks_.back().null ? lost_ : sinks_.back().flow;
  return in_document_ ? builder_.body() : lost_;
}

bool LatexFrames::muted() const { return sinks_.empty() ? !in_document_ : sinks_.back().null; }

std::size_t LatexFrames::text_size() { return taken_ + flow().size(); }

void LatexFrames::push(Frame frame, bool null) {
  if (frames_.size() >= kDeepest)
    throw LatexLimit(fmt::format("its groups are nested more than {} deep: refused", kDeepest));
  if (frame.has_sink) {
    sinks_.emplace_back();
    sinks_.back().null = null;
  }
  frames_.push_back(std::move(frame));
}

void LatexFrames::open_group() { push({}, false); }

void LatexFrames::open_capture(Capture target, int level) {
  Frame frame;
  frame.kind = Kind::capture;
  frame.capture = target;
  frame.level = level;
  frame.has_sink = true;
  // Notes and captions on a title page or in acknowledgements are no part of the paper either.
  const bool lost = target == Capture::note && muted();
  push(std::move(frame), lost);
}

void LatexFrames::open_environment(const std::string& name, EnvironmentKind kind) {
  Frame frame;
  frame.kind = Kind::environment;
  frame.name = name;
  frame.has_sink = is_null(kind) || kind == EnvironmentKind::abstract;
  frame.capture = Capture::abstract;
  if (kind == EnvironmentKind::list || kind == EnvironmentKind::theorem) flow().end_paragraph();
  push(std::move(frame), is_null(kind));
}

void LatexFrames::pop() {
  end_large_text();
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  Sink sink;
  if (frame.has_sink) {
    sink = std::move(sinks_.back());
    sinks_.pop_back();
  }
  finish(frame, std::move(sink));
}

void LatexFrames::finish(const Frame& frame, Sink sink) {
  if (frame.kind == Kind::environment) {
    if (frame.has_sink && !sink.null && builder_.abstract.empty()) builder_.abstract = std::move(sink.flow);
    const EnvironmentKind kind = environment_kind(frame.name);
    if (kind == EnvironmentKind::list || kind == EnvironmentKind::theorem) flow().end_paragraph();
    return;
  }
  if (frame.kind != Kind::capture || sink.null) return;
  taken_ += sink.flow.size();
  switch (frame.capture) {
    case Capture::title: {
      std::string title = one_line(sink.flow.take());
      if (!title.empty() && builder_.title.empty()) builder_.title = std::move(title);
      return;
    }
    case Capture::heading:
      taken_ += builder_.body().size();
      builder_.begin_section(frame.level, sink.flow.take());
      return;
    case Capture::caption:
    case Capture::note: {
      // A caption stands outside the float that it belongs to.
      const auto at = std::find_if(sinks_.rbegin(), sinks_.rend(), [](const Sink& s) { return !s.null; });
      const bool front = std::any_of(frames_.begin(), frames_.end(), [](const Frame& f) {
        const EnvironmentKind kind = environment_kind(f.name);
        return kind == EnvironmentKind::front || kind == EnvironmentKind::left_out;
      });
      if (front || !in_document_) return;
      (at != sinks_.rend() ? at->flow : builder_.body()).note(sink.flow.take());
      return;
    }
    case Capture::abstract:
      if (builder_.abstract.empty()) builder_.abstract = std::move(sink.flow);
      return;
  }
}

void LatexFrames::close_group() {
  end_large_text();
  if (frames_.empty()) return;
  if (frames_.back().kind != Kind::environment) return pop();
  // An environment was left open: only a captured argument is sure to end here.
  const auto below = std::find_if(frames_.rbegin(), frames_.rend(),
                                  [](const Frame& f) { return f.kind != Kind::environment; });
  if (below == frames_.rend() || below->kind != Kind::capture) return;
  const auto keep = static_cast<std::size_t>(frames_.rend() - below) - 1;
  while (frames_.size() > keep) pop();
}

bool LatexFrames::close_environment(std::string_view name) {
  const auto open = std::find_if(frames_.rbegin(), frames_.rend(), [&](const Frame& frame) {
    return frame.kind == Kind::environment && frame.name == name;
  });
  if (open == frames_.rend()) return false;
  const auto keep = static_cast<std::size_t>(frames_.rend() - open) - 1;
  while (frames_.size() > keep) pop();
  return true;
}

void LatexFrames::unwind_for_heading() {
  end_large_text();
  const auto first = std::find_if(frames_.begin(), frames_.end(), [](const Frame& f) { return f.has_sink; });
  const auto keep = static_cast<std::size_t>(first - frames_.begin());
  while (frames_.size() > keep) pop();
}

void LatexFrames::unwind_all() {
  while (!frames_.empty()) pop();
}

void LatexFrames::font_size(int rank) {
  end_large_text();
  if (rank <= largest_ || frames_.empty() || !in_document_) return;
  largest_ = rank;
  front_title_.clear();
  Frame large;
  large.large_text = true;
  large.has_sink = true;
  push(std::move(large), false);
}

// The text of one size ends with its group, or with the next size.
void LatexFrames::end_large_text() {
  if (frames_.empty() || !frames_.back().large_text) return;
  front_title_ = one_line(sinks_.back().flow.take());
  frames_.pop_back();
  sinks_.pop_back();
}

}  // namespace deciban
