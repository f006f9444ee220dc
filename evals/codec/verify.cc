#include "evals/codec/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "evals/codec/token_codec.h"
#include "evals/compression.h"
#include "evals/document_run.h"
#include "evals/start_token.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kTogether = 64;  // documents in lockstep, unless the model's states are large
constexpr std::uint64_t kMostStates = std::uint64_t{4} << 30;
constexpr const char* kVersion = "1";

struct Job {
  const Corpus* corpus = nullptr;
  const Document* document = nullptr;
  Record record;
  double claimed = 0;  // bytes
  std::vector<Token> tokens;
};

std::size_t documents_together(const ModelInfo& info) {
  if (!info.constant_state || info.state_bytes == 0) return 16;
  return std::clamp<std::size_t>(kMostStates / info.state_bytes, 1, kTogether);
}

// Why a coded document proves nothing; empty if it proves its claim.
std::string complaint(const Job& job, const std::string& code, const std::vector<Token>& decoded,
                      const LanguageModel& model) {
  if (decoded != job.tokens || model.decode(decoded) != job.document->text)
    return "it does not decode to itself: coding and decoding computed different probabilities";
  const double off = std::abs(static_cast<double>(code.size()) - job.claimed);
  if (off > kCodedShare * job.claimed + kCodedBytes) {
    return fmt::format("coded it takes {} bytes, and its log-probabilities claim {:.1f}", code.size(),
                       job.claimed);
  }
  return {};
}

}  // namespace

RunSummary record_coded(LanguageModel& model, std::span<const Corpus* const> corpora,
                        const RunOptions& options, const Limit& sample, RunDirectory& directory,
                        RunObserver* observer) {
  const CompressionTask compression;
  RunOptions whole = options;
  whole.windowing = Windowing::parse("whole");
  const RunIdentity claims = run_identity(model.info(), compression, whole);
  RunIdentity identity = claims;
  identity.task = kCodedTask;
  identity.task_version = kVersion;
  const std::string label = options.label.empty() ? model.info().name : options.label;
  const double model_bits = 8 * static_cast<double>(model.memory().weights);

  RunSummary summary;
  std::vector<Job> jobs;
  for (const Selected& selected : select(corpora, options.limit, options.shard)) {
    const Corpus& corpus = *corpora[selected.corpus];
    const Document& document = corpus.documents[selected.document];
    if (selected.document >= sample.of(options.limit.of(corpus.documents.size()))) continue;
    const Record* claim =
        directory.find(record_key(claims, document.digest), label, corpus.name, document.id);
    if (!claim || document.text.empty()) continue;
    Job job{&corpus, &document, {}, -claim->logprob / std::numbers::ln2 / 8, {}};
    job.record.key = record_key(identity, document.digest);
    job.record.model = label;
    job.record.task = kCodedTask;
    job.record.windowing = "whole";
    set_document(job.record, corpus, document);
    summary.keys.push_back(job.record.key);
    ++summary.progress.documents;
    if (directory.find(job.record.key, label, corpus.name, document.id)) {
      ++summary.progress.resumed;
      continue;
    }
    summary.progress.bytes += document.text.size();
    jobs.push_back(std::move(job));
  }
  // Alike long ones together: in lockstep a group takes as long as its longest.
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return a.document->text.size() > b.document->text.size();
  });
  const Clock::time_point begun = Clock::now();
  CodecOptions coding{
      documents_together(model.info()), options.start.resolve(model.info()), options.stop, {}};
  for (std::size_t first = 0; first < jobs.size(); first += coding.streams) {
    const std::span<Job> group(jobs.data() + first, std::min(coding.streams, jobs.size() - first));
    std::vector<std::vector<Token>> sequences;
    for (Job& job : group) sequences.push_back(job.tokens = model.encode(job.document->text));
    const Clock::time_point start = Clock::now();
    std::vector<std::string> codes;
    std::vector<std::vector<Token>> decoded;
    try {
      codes = encode_tokens(model, sequences, coding);
      std::vector<CodedTokens> coded;
      for (std::size_t i = 0; i < group.size(); ++i) coded.push_back({codes[i], sequences[i].size()});
      decoded = decode_tokens(model, coded, coding);
    } catch (const CodingStopped&) {
      summary.interrupted = true;
      return summary;
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    for (std::size_t i = 0; i < group.size(); ++i) {
      Job& job = group[i];
      Record& record = job.record;
      const auto bytes = static_cast<double>(job.document->text.size());
      record.bytes = job.document->text.size();
      record.characters = characters(job.document->text);
      record.tokens = record.scored_tokens = job.tokens.size();
      record.logprob = -8 * static_cast<double>(codes[i].size()) * std::numbers::ln2;
      record.seconds = seconds / static_cast<double>(group.size());
      record.measures = {{"coded", {8 * static_cast<double>(codes[i].size()), bytes}},
                         {"claimed", {8 * job.claimed, bytes}},
                         {"model", {model_bits, bytes}}};
      record.reason = complaint(job, codes[i], decoded[i], model);
      if (!record.reason.empty()) {
        record.status = "failed";
        ++summary.progress.failed;
        if (summary.first_failure.empty())
          summary.first_failure = fmt::format("{}/{}: {}", record.corpus, record.document, record.reason);
      }
      directory.append(record);
      ++summary.progress.done;
      summary.progress.bytes_done += record.bytes;
      summary.progress.tokens_done += record.tokens;
      if (observer) observer->recorded(record);
    }
    summary.progress.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    if (observer) observer->progress(summary.progress);
  }
  return summary;
}

Table coded_table(std::span<const Record> records) {
  struct Row {
    std::string model, corpus;
    std::size_t documents = 0, failed = 0;
    double bytes = 0, claimed = 0, coded = 0, model_bytes = 0;
    double worst = 0;  // of a document, bytes beside its claim
  };
  std::vector<Row> rows;
  for (const Record& record : records) {
    if (record.task != kCodedTask) continue;
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) {
      return r.model == record.model && r.corpus == record.corpus;
    });
    if (row == rows.end()) row = rows.insert(rows.end(), {record.model, record.corpus});
    ++row->documents;
    row->failed += record.status != "ok";
    const double coded = record.measures.at("coded").sum / 8, claimed = record.measures.at("claimed").sum / 8;
    row->bytes += static_cast<double>(record.bytes);
    row->claimed += claimed;
    row->coded += coded;
    row->model_bytes = record.measures.at("model").sum / 8;
    row->worst = std::max(row->worst, std::abs(coded - claimed));
  }
  Table table;
  table.columns = {{"model", "model", false},
                   {"corpus", "corpus", false},
                   {"docs", "documents"},
                   {"bytes", "bytes"},
                   {"claimed", "claimed_bytes"},
                   {"coded", "coded_bytes"},
                   {"worst doc", "worst_bytes_off"},
                   {"bits/byte coded", "bits_per_byte"},
                   {"with model", "bits_per_byte_with_model"}};
  const auto number = [](double value, int digits) {
    return Cell{fmt::format("{:.{}f}", value, digits), fmt::format("{}", value)};
  };
  for (const Row& row : rows) {
    table.rows.push_back({{row.model, ""},
                          {row.corpus, ""},
                          {fmt::format("{}", row.documents), fmt::format("{}", row.documents)},
                          number(row.bytes, 0),
                          number(row.claimed, 0),
                          number(row.coded, 0),
                          number(row.worst, 1),
                          number(8 * row.coded / row.bytes, 4),
                          number(8 * (row.coded + row.model_bytes) / row.bytes, 2)});
    if (row.failed > 0) {
      table.notes.push_back(fmt::format("{}, {}: {} of {} documents do not prove their claim", row.model,
                                        row.corpus, row.failed, row.documents));
    }
  }
  table.notes.push_back(
      "Really compressed and decompressed, one stream a document; with model: its weights' bytes count too "
      "(Delétang et al. 2023).");
  return table;
}

}  // namespace deciban
