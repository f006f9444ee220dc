// Any bytes to a CodedFile and back: cut into segments, tokenised, coded in lockstep; a segment that a model
// makes no shorter is stored as it is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/lm.h"
#include "evals/codec/coded_file.h"
#include "evals/codec/token_codec.h"

namespace deciban {

inline constexpr std::size_t kLeastSegment = 10'000;  // bytes; shorter ones lose too much context

// How many segments are coded in lockstep unless said otherwise: as many as have kLeastSegment bytes, at
// most 64.
std::size_t usual_streams(std::size_t bytes);

// `options.streams` segments of about equal size, none below kLeastSegment bytes unless there is only one.
CodedFile compress(LanguageModel& model, std::string_view content, const CodecOptions& options);

// Throws std::runtime_error if the model is another one, or if what was decoded has not the checksum that the
// file says.
std::string decompress(LanguageModel& model, const CodedFile& file, CodecOptions options);

// Bits that the model gives to the same segments by score(), and to the whole content in one sequence: what
// the file should take, and what it would take without being cut.  Stored segments count their 8 bits a byte.
struct ClaimedBits {
  double segments = 0, whole = 0;
};
ClaimedBits claimed_bits(LanguageModel& model, std::string_view content, const CodedFile& file);

}  // namespace deciban
