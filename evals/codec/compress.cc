#include "evals/codec/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "datasets/sha256.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

// Pieces of about equal size, cut where a character begins (as far as the bytes are UTF-8).
std::vector<std::string_view> cut_evenly(std::string_view content, std::size_t count) {
  std::vector<std::string_view> pieces;
  std::size_t begin = 0;
  for (std::size_t i = 1; i <= count; ++i) {
    std::size_t end = i == count ? content.size() : content.size() * i / count;
    const auto inside = [&] { return (static_cast<unsigned char>(content[end]) & 0xC0) == 0x80; };
    for (int back = 0; back < 3 && end > begin && end < content.size() && inside(); ++back) --end;
    if (end > begin) pieces.push_back(content.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

// The sum of each sequence's scores, nats; NaN where one failed.
class Sums final : public SequenceSource, public ScoreSink {
 public:
  explicit Sums(std::span<const std::vector<Token>> sequences)
      : sequences_(sequences), nats_(sequences.size(), std::nan("")) {}
  bool next(Sequence& out) override {
    while (given_ < sequences_.size() && sequences_[given_].size() < 2) nats_[given_++] = 0;
    if (given_ == sequences_.size()) return false;
    places_.push_back(given_);
    out = {sequences_[given_++], 1, 0};
    return true;
  }
  void scored(std::size_t index, std::span<const TokenScore> scores) override {
    CompensatedSum sum;
    for (const TokenScore& score : scores) sum.add(-static_cast<double>(score.logprob));
    nats_[places_[index]] = sum.value();
  }
  void failed(std::size_t, const std::string&) override {}
  const std::vector<double>& nats() const { return nats_; }

 private:
  std::span<const std::vector<Token>> sequences_;
  std::vector<double> nats_;
  std::vector<std::size_t> places_;
  std::size_t given_ = 0;
};

// A segment's tokens behind the start token; without one the first token costs log2 of the vocabulary.
double bits_of(LanguageModel& model, std::vector<std::vector<Token>> sequences, std::optional<Token> start) {
  double bits = 0;
  for (std::vector<Token>& tokens : sequences) {
    if (start) {
      tokens.insert(tokens.begin(), *start);
    } else if (!tokens.empty()) {
      bits += std::log2(static_cast<double>(model.info().vocabulary));
    }
  }
  Sums sums(sequences);
  model.score(sums, sums);
  for (const double nats : sums.nats()) bits += nats / std::numbers::ln2;
  return bits;
}

}  // namespace

std::size_t usual_streams(std::size_t bytes) { return std::clamp<std::size_t>(bytes / kLeastSegment, 1, 64); }

CodedFile compress(LanguageModel& model, std::string_view content, const CodecOptions& options) {
  CodedFile file;
  file.describe(model.info());
  file.start = options.start;
  file.size = content.size();
  file.sha256 = Sha256::of(content);
  const std::size_t most = std::max<std::size_t>(1, content.size() / kLeastSegment);
  const std::vector<std::string_view> pieces =
      cut_evenly(content, std::clamp<std::size_t>(options.streams, 1, most));
  std::vector<std::vector<Token>> sequences;
  std::vector<std::size_t> coded;  // the piece of each sequence
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    std::vector<Token> tokens = model.encode(pieces[i]);
    // A tokenizer that normalises, or that cannot hold these bytes, would not give them back.
    if (tokens.empty() || tokens.size() > pieces[i].size() || model.decode(tokens) != pieces[i]) continue;
    sequences.push_back(std::move(tokens));
    coded.push_back(i);
  }
  CodecOptions in_lockstep = options;
  in_lockstep.streams = std::max<std::size_t>(1, sequences.size());
  file.streams = in_lockstep.streams;
  std::vector<std::string> codes = encode_tokens(model, sequences, in_lockstep);
  for (const std::string_view piece : pieces) file.segments.push_back({piece.size(), 0, std::string(piece)});
  for (std::size_t i = 0; i < coded.size(); ++i) {
    CodedSegment& segment = file.segments[coded[i]];
    if (codes[i].size() >= segment.bytes) continue;
    segment.tokens = sequences[i].size();
    segment.code = std::move(codes[i]);
  }
  return file;
}

std::string decompress(LanguageModel& model, const CodedFile& file, CodecOptions options) {
  file.check(model.info());
  options.start = file.start;
  options.streams = file.streams;
  std::vector<CodedTokens> coded;
  for (const CodedSegment& segment : file.segments) {
    if (segment.tokens > 0) coded.push_back({segment.code, segment.tokens});
  }
  const std::vector<std::vector<Token>> sequences = decode_tokens(model, coded, options);
  std::string content;
  std::size_t next = 0;
  for (const CodedSegment& segment : file.segments)
    content += segment.tokens > 0 ? model.decode(sequences[next++]) : segment.code;
  if (content.size() != file.size || Sha256::of(content) != file.sha256) {
    throw std::runtime_error(
        "what was decompressed is not what was compressed (its SHA-256 differs): the file is damaged, or "
        "this "
        "machine computes other probabilities than the one that made it");
  }
  return content;
}

ClaimedBits claimed_bits(LanguageModel& model, std::string_view content, const CodedFile& file) {
  ClaimedBits claimed;
  std::vector<std::vector<Token>> segments;
  std::size_t at = 0;
  for (const CodedSegment& segment : file.segments) {
    if (segment.tokens > 0) {
      segments.push_back(model.encode(content.substr(at, segment.bytes)));
    } else {
      claimed.segments += 8.0 * static_cast<double>(segment.bytes);
    }
    at += segment.bytes;
  }
  claimed.segments += bits_of(model, std::move(segments), file.start);
  claimed.whole = bits_of(model, {model.encode(content)}, file.start);
  return claimed;
}

}  // namespace deciban
