#include "engine/bpe_pretokenize.h"

#include <algorithm>

#include "engine/bpe_regex.h"
#include "engine/unicode_classes.h"
#include "engine/utf8.h"

namespace deciban {

struct Pretokenizer::Stage {
  virtual ~Stage() = default;
  virtual void split(TextPiece text, PieceSink out) const = 0;
};

namespace {

struct Span {
  std::size_t begin, end;
  bool removed = false;
};

// The text as alternating matches and what lies between them, treated as `behaviour` says.
std::vector<Span> apply_behaviour(const std::vector<TokenizerRegex::Match>& matches, std::size_t size,
                                  bool invert, SplitBehaviour behaviour) {
  struct Part {
    std::size_t begin, end;
    bool match;
  };
  std::vector<Part> parts;
  std::size_t done = 0;
  for (const TokenizerRegex::Match& match : matches) {
    if (done < match.begin) parts.push_back({done, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    done = match.end;
  }
  if (done < size) parts.push_back({done, size, invert});

  std::vector<Span> spans;
  bool previous_match = false;
  // Adds a part, or joins it to the span before it (behind it when going backwards).
  const auto add = [&](const Part& part, bool join) {
    if (join && !spans.empty()) {
      spans.back().begin = std::min(spans.back().begin, part.begin);
      spans.back().end = std::max(spans.back().end, part.end);
    } else {
      spans.push_back({part.begin, part.end, behaviour == SplitBehaviour::removed && part.match});
    }
    previous_match = part.match;
  };
  switch (behaviour) {
    case SplitBehaviour::removed:
    case SplitBehaviour::isolated:
      for (const Part& part : parts) add(part, false);
      break;
    case SplitBehaviour::contiguous:
      for (const Part& part : parts) add(part, part.match == previous_match);
      break;
    case SplitBehaviour::merged_with_previous:
      for (const Part& part : parts) add(part, part.match && !previous_match);
      break;
    case SplitBehaviour::merged_with_next:
      std::for_each(parts.rbegin(), parts.rend(),
                    [&](const Part& part) { add(part, part.match && !previous_match); });
      std::reverse(spans.begin(), spans.end());
      break;
  }
  return spans;
}

void emit(TextPiece text, const std::vector<Span>& spans, PieceSink out) {
  for (const Span& span : spans) {
    if (span.removed || span.begin == span.end) continue;
    out({text.text.substr(span.begin, span.end - span.begin), text.first && span.begin == 0});
  }
}

class RegexStage final : public Pretokenizer::Stage {
 public:
  RegexStage(const std::string& pattern, bool invert, SplitBehaviour behaviour)
      : regex_(pattern), invert_(invert), behaviour_(behaviour) {}
  void split(TextPiece text, PieceSink out) const override {
    emit(text, apply_behaviour(regex_.find_all(text.text), text.text.size(), invert_, behaviour_), out);
  }

 private:
  TokenizerRegex regex_;
  bool invert_;
  SplitBehaviour behaviour_;
};

class LiteralStage final : public Pretokenizer::Stage {
 public:
  LiteralStage(std::string pattern, bool invert, SplitBehaviour behaviour)
      : pattern_(std::move(pattern)), invert_(invert), behaviour_(behaviour) {}
  void split(TextPiece text, PieceSink out) const override {
    std::vector<TokenizerRegex::Match> matches;
    for (std::size_t at = text.text.find(pattern_); at != std::string_view::npos;
         at = text.text.find(pattern_, at + pattern_.size())) {
      matches.push_back({at, at + pattern_.size()});
    }
    emit(text, apply_behaviour(matches, text.text.size(), invert_, behaviour_), out);
  }

 private:
  std::string pattern_;
  bool invert_;
  SplitBehaviour behaviour_;
};

// The known expressions, isolated: every character is in a match, so that there is nothing else to hand out.
class KnownStage final : public Pretokenizer::Stage {
 public:
  enum class Pattern { gpt2, llama3, qwen2 };
  explicit KnownStage(Pattern pattern) : pattern_(pattern) {}
  void split(TextPiece text, PieceSink out) const override {
    if (pattern_ == Pattern::gpt2) {
      split_gpt2(text.text, text.first, out);
    } else {
      split_llama3(text.text, text.first, pattern_ == Pattern::llama3 ? 3 : 1, out);
    }
  }

 private:
  Pattern pattern_;
};

class PrefixSpaceStage final : public Pretokenizer::Stage {
 public:
  void split(TextPiece text, PieceSink out) const override {
    if (text.text.starts_with(' ')) return out(text);
    std::string widened(1, ' ');
    widened += text.text;
    out({widened, text.first});
  }
};

class DigitsStage final : public Pretokenizer::Stage {
 public:
  explicit DigitsStage(bool individual) : individual_(individual) {}
  void split(TextPiece text, PieceSink out) const override {
    const CharacterClasses& classes = CharacterClasses::get();
    const auto is_digit = [&](std::size_t i, std::size_t& length) {
      const CodePoint c = code_point_at(text.text, i);
      length = c.length;
      return classes[c.value] == CharacterClass::number;
    };
    for (std::size_t begin = 0; begin < text.text.size();) {
      std::size_t length;
      const bool digit = is_digit(begin, length);
      std::size_t end = begin + length;
      while (!(digit && individual_) && end < text.text.size() && is_digit(end, length) == digit)
        end += length;
      out({text.text.substr(begin, end - begin), text.first && begin == 0});
      begin = end;
    }
  }

 private:
  bool individual_;
};

class MetaspaceStage final : public Pretokenizer::Stage {
 public:
  explicit MetaspaceStage(const PretokenizerStep& step)
      : replacement_(step.replacement), prepend_(step.prepend), split_(step.split) {}
  void split(TextPiece text, PieceSink out) const override {
    std::string replaced;
    replaced.reserve(text.text.size() + text.text.size() / 2);
    const bool wanted = prepend_ == PrependScheme::always || (prepend_ == PrependScheme::first && text.first);
    if (wanted && !text.text.starts_with(' ') && !text.text.starts_with(replacement_))
      replaced = replacement_;
    for (const char c : text.text) {
      if (c == ' ') {
        replaced += replacement_;
      } else {
        replaced += c;
      }
    }
    const std::string_view all = replaced;
    for (std::size_t begin = 0; begin < all.size();) {
      const std::size_t end = split_ ? std::min(all.find(replacement_, begin + 1), all.size()) : all.size();
      out({all.substr(begin, end - begin), text.first && begin == 0});
      begin = end;
    }
  }

 private:
  std::string replacement_;
  PrependScheme prepend_;
  bool split_;
};

std::unique_ptr<Pretokenizer::Stage> regex_stage(const std::string& pattern, bool invert,
                                                 SplitBehaviour behaviour, bool fast) {
  if (fast && !invert && behaviour == SplitBehaviour::isolated) {
    if (pattern == kGpt2Pattern) return std::make_unique<KnownStage>(KnownStage::Pattern::gpt2);
    if (pattern == kLlama3Pattern) return std::make_unique<KnownStage>(KnownStage::Pattern::llama3);
    if (pattern == kQwen2Pattern) return std::make_unique<KnownStage>(KnownStage::Pattern::qwen2);
  }
  return std::make_unique<RegexStage>(pattern, invert, behaviour);
}

void run(const std::vector<std::unique_ptr<Pretokenizer::Stage>>& stages, std::size_t next, TextPiece text,
         PieceSink out) {
  if (next == stages.size()) return out(text);
  const auto on = [&](TextPiece piece) { run(stages, next + 1, piece, out); };
  stages[next]->split(text, on);
}

}  // namespace

Pretokenizer::Pretokenizer(const std::vector<PretokenizerStep>& steps, bool fast) {
  for (const PretokenizerStep& step : steps) {
    switch (step.kind) {
      case PretokenizerStep::Kind::byte_level:
        if (step.add_prefix_space) stages_.push_back(std::make_unique<PrefixSpaceStage>());
        if (step.use_regex) {
          stages_.push_back(regex_stage(std::string(kGpt2Pattern), false, SplitBehaviour::isolated, fast));
        }
        break;
      case PretokenizerStep::Kind::split:
        if (step.literal) {
          stages_.push_back(std::make_unique<LiteralStage>(step.pattern, step.invert, step.behaviour));
        } else {
          stages_.push_back(regex_stage(step.pattern, step.invert, step.behaviour, fast));
        }
        break;
      case PretokenizerStep::Kind::digits:
        stages_.push_back(std::make_unique<DigitsStage>(step.individual_digits));
        break;
      case PretokenizerStep::Kind::metaspace:
        stages_.push_back(std::make_unique<MetaspaceStage>(step));
        break;
    }
  }
}

Pretokenizer::~Pretokenizer() = default;
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;

void Pretokenizer::split(TextPiece text, PieceSink out) const {
  if (!text.text.empty()) run(stages_, 0, text, out);
}

}  // namespace deciban
