#include "cli/dry_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "engine/tokenizer.h"
#include "evals/compression.h"

namespace deciban {
namespace {

class TokenizerModel : public LanguageModel {
 public:
  explicit TokenizerModel(const std::string& spec) : tokenizer_(open_tokenizer(spec)) {
    info_.name = info_.tokenizer = tokenizer_->name();
    info_.tokenizer_digest = tokenizer_->digest();
    info_.vocabulary = tokenizer_->size();
    info_.start_token = tokenizer_->start_token();
  }
  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view text) const override { return tokenizer_->encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return tokenizer_->decode(tokens); }
  std::string normalise(std::string_view text) const override { return tokenizer_->normalise(text); }
  void score(SequenceSource&, ScoreSink&) override {
    throw std::logic_error("a tokenizer alone cannot score anything");
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelInfo info_;
};

struct Counts {
  std::uint64_t documents = 0, bad = 0, bytes = 0, characters = 0, tokens = 0, sequences = 0, longest = 0,
                unscored = 0, lossy = 0;
  void add(const Counts& other) {
    documents += other.documents;
    bad += other.bad;
    bytes += other.bytes;
    characters += other.characters;
    tokens += other.tokens;
    sequences += other.sequences;
    longest = std::max(longest, other.longest);
    unscored += other.unscored;
    lossy += other.lossy;
  }
};

Counts count(const LanguageModel& model, const Document& document, const RunOptions& options) {
  Counts counts;
  counts.documents = 1;
  counts.bytes = document.text.size();
  counts.characters = characters(document.text);
  try {
    if (!document.error.empty()) throw std::runtime_error(document.error);
    const std::optional<Token> start = options.start.resolve(model.info());
    const Windows windows = document.text.empty()
                                ? cut_tokens(model, options.windowing, start, document.tokens)
                                : cut(model, options.windowing, start, {}, document.text);
    if (document.text.empty()) counts.bytes = model.decode(document.tokens).size();
    counts.tokens = counts.longest = windows.tokens;
    counts.sequences = windows.windows.size();
    counts.unscored = windows.unscored_bytes;
    counts.lossy = windows.lossy_bytes;
  } catch (const std::exception&) {
    counts.bad = 1;
  }
  return counts;
}

std::vector<Cell> row(const std::string& label, const std::string& corpus, const Counts& counts) {
  const auto number = [](std::uint64_t value) {
    return Cell{fmt::format("{}", value), fmt::format("{}", value)};
  };
  const double ratio =
      counts.tokens > 0 ? static_cast<double>(counts.bytes) / static_cast<double>(counts.tokens) : 0;
  return {{label, ""},
          {corpus, ""},
          number(counts.documents),
          number(counts.bytes),
          number(counts.characters),
          number(counts.tokens),
          {fmt::format("{:.3f}", ratio), fmt::format("{}", ratio)},
          number(counts.sequences),
          number(counts.longest),
          number(counts.unscored),
          number(counts.lossy),
          number(counts.bad)};
}

}  // namespace

std::unique_ptr<LanguageModel> tokenizer_model(const std::string& spec) {
  return std::make_unique<TokenizerModel>(spec);
}

std::size_t count_documents(const LanguageModel& model, const std::string& label,
                            std::span<const Corpus* const> corpora, const RunOptions& options, Table& table) {
  if (table.columns.empty()) {
    table.columns = {{"model", "model", false, false},
                     {"corpus", "corpus", false, false},
                     {"docs", "documents", true, false},
                     {"bytes", "bytes", true, false},
                     {"characters", "characters", true, false},
                     {"tokens", "tokens", true, false},
                     {"bytes/token", "bytes_per_token", true, false},
                     {"sequences", "sequences", true, false},
                     {"longest", "longest_document_tokens", true, false},
                     {"unscored", "unscored_bytes", true, true},
                     {"lossy", "lossy_bytes", true, true},
                     {"bad", "bad_documents", true, true}};
  }
  std::vector<Counts> counts(corpora.size());
  for (const Selected& place : select(corpora, options.limit, options.shard)) {
    counts[place.corpus].add(count(model, corpora[place.corpus]->documents[place.document], options));
  }
  Counts all;
  for (std::size_t c = 0; c < corpora.size(); ++c) {
    table.rows.push_back(row(label, corpora[c]->name, counts[c]));
    all.add(counts[c]);
  }
  if (corpora.size() > 1) table.rows.push_back(row(label, "all", all));
  // Columns that are nearly always zero are shown when they are not.
  for (const auto& [key, value] :
       {std::pair("unscored_bytes", all.unscored), {"lossy_bytes", all.lossy}, {"bad_documents", all.bad}}) {
    for (Column& column : table.columns) {
      if (column.key == key && value > 0) column.machine_only = false;
    }
  }
  return all.bad;
}

}  // namespace deciban
