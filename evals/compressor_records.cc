#include "evals/compressor_records.h"

#include <brotli/encode.h>
#include <bzlib.h>
#include <fmt/format.h>
#include <lzma.h>
#include <zstd.h>

#include <chrono>
#include <functional>
#include <numbers>
#include <stdexcept>

#include "datasets/sha256.h"
#include "evals/compression.h"
#include "evals/compressor.h"
#include "evals/document_run.h"

namespace deciban {
namespace {

using Clock = std::chrono::steady_clock;
using Parts = std::span<const std::string_view>;

struct Compressor {
  const char* label;
  const char* solid_label;
  const char* (*version)();
  CompressedSize (*size)(Parts parts);
};

const char* brotli_version() {
  const std::uint32_t v = BrotliEncoderVersion();  // 8 bits, 12 and 12
  static const std::string text = fmt::format("{}.{}.{}", v >> 24, v >> 12 & 0xFFF, v & 0xFFF);
  return text.c_str();
}

constexpr Compressor kCompressors[] = {
    {"xz -9e", "xz -9e, solid", [] { return lzma_version_string(); },
     [](Parts parts) { return xz_size(parts); }},
    {"zstd -19 --ultra", "zstd -19 --ultra, solid", [] { return ZSTD_versionString(); },
     [](Parts parts) { return zstd_size(parts); }},
    {"brotli -q 11", "brotli -q 11, solid", brotli_version, [](Parts parts) { return brotli_size(parts); }},
    {"bzip2 -9", "bzip2 -9, solid", [] { return BZ2_bzlibVersion(); },
     [](Parts parts) { return bzip2_size(parts); }},
};

RunIdentity identity_of(const Compressor& compressor, std::string_view windowing) {
  RunIdentity identity;
  identity.model_digest = fmt::format("{} {}", compressor.label, compressor.version());
  const CompressionTask task;
  identity.task = task.name();
  identity.task_version = task.version();
  identity.windowing = windowing;
  identity.start_token = "none";
  return identity;
}

// Documents that have a text: what was only given as tokens has no bytes to compress.
bool compressible(const Document& document) { return document.error.empty() && !document.text.empty(); }

Record compressed(const Compressor& compressor, Parts parts) {
  Record record;
  record.task = CompressionTask().name();
  for (const std::string_view part : parts) {
    record.bytes += part.size();
    record.characters += characters(part);
  }
  const Clock::time_point begun = Clock::now();
  const CompressedSize size = compressor.size(parts);
  record.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const double bits = 8.0 * static_cast<double>(size.bytes), bytes = static_cast<double>(record.bytes);
  record.logprob = -bits * std::numbers::ln2;
  record.measures = {{"bits_per_byte", {bits, bytes}},
                     {"bits_per_character", {bits, static_cast<double>(record.characters)}},
                     {"header_bytes", {static_cast<double>(size.header_bytes), bytes}}};
  return record;
}

// Records what is not there yet, and tells the observer.
class Recorder {
 public:
  Recorder(RunDirectory& directory, RunObserver* observer, RunSummary& summary)
      : directory_(directory), observer_(observer), summary_(summary) {}

  void add(std::string key, const std::string& model, std::string_view windowing, const Corpus& corpus,
           const Document& document, const std::function<Record()>& compress) {
    summary_.keys.push_back(key);
    if (directory_.find(key, model, corpus.name, document.id)) {
      ++summary_.progress.resumed;
      return;
    }
    Record record;
    if (const Record* same = directory_.find(key)) {
      record = *same;
      record.seconds = 0;
    } else {
      record = compress();
    }
    record.key = std::move(key);
    record.model = model;
    record.windowing = windowing;
    set_document(record, corpus, document);
    directory_.append(record);
    ++summary_.progress.done;
    summary_.progress.bytes_done += record.bytes;
    summary_.progress.seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
    if (observer_) {
      observer_->recorded(record);
      observer_->progress(summary_.progress);
    }
  }

 private:
  RunDirectory& directory_;
  RunObserver* const observer_;
  RunSummary& summary_;
  const Clock::time_point begun_ = Clock::now();
};

}  // namespace

std::vector<CompressorRow> compressor_rows() {
  std::vector<CompressorRow> rows;
  for (const Compressor& compressor : kCompressors) {
    rows.push_back({compressor.label, "whole"});
    rows.push_back({compressor.solid_label, std::string(kSolidArchive)});
  }
  return rows;
}

bool is_compressor(std::string_view label) {
  for (const CompressorRow& row : compressor_rows()) {
    if (row.label == label) return true;
  }
  return false;
}

RunSummary record_compressors(std::span<const Corpus* const> corpora, const Limit& limit, const Shard& shard,
                              RunDirectory& directory, const std::atomic<bool>* stop, RunObserver* observer) {
  RunSummary summary;
  const std::vector<Selected> selected = select(corpora, limit, shard);
  const bool solid = shard.count == 1;
  for (const Selected& place : selected) {
    const Document& document = corpora[place.corpus]->documents[place.document];
    if (!compressible(document)) continue;
    summary.progress.documents += std::size(kCompressors);
    summary.progress.bytes += std::size(kCompressors) * document.text.size() * (solid ? 2 : 1);
  }
  if (solid) summary.progress.documents += corpora.size() * std::size(kCompressors);
  Recorder recorder(directory, observer, summary);
  const auto stopped = [&] { return summary.interrupted = stop && stop->load(); };
  for (const Compressor& compressor : kCompressors) {
    const RunIdentity identity = identity_of(compressor, "whole");
    for (const Selected& place : selected) {
      if (stopped()) return summary;
      const Corpus& corpus = *corpora[place.corpus];
      const Document& document = corpus.documents[place.document];
      if (!compressible(document)) continue;
      const std::string_view text = document.text;
      recorder.add(record_key(identity, document.digest), compressor.label, "whole", corpus, document, [&] {
        return compressed(compressor, {&text, 1});
      });
    }
  }
  if (!solid) return summary;
  for (std::size_t c = 0; c < corpora.size(); ++c) {
    std::vector<std::string_view> parts;
    Sha256 digest;
    for (const Selected& place : selected) {
      const Document& document = corpora[c]->documents[place.document];
      if (place.corpus != c || !compressible(document)) continue;
      parts.push_back(document.text);
      digest.update(document.digest);
    }
    if (parts.empty()) continue;
    Document all;
    all.id = fmt::format("(all {} documents)", parts.size());
    all.digest = digest.hex();
    for (const Compressor& compressor : kCompressors) {
      if (stopped()) return summary;
      recorder.add(record_key(identity_of(compressor, kSolidArchive), all.digest), compressor.solid_label,
                   kSolidArchive, *corpora[c], all, [&] { return compressed(compressor, parts); });
    }
  }
  return summary;
}

}  // namespace deciban
