// What tests of the engine share: opening models under a given kernel table, scoring lists of sequences, and
// reading NumPy files of golden data.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/rwkv_model.h"
#include "engine/rwkv_names.h"
#include "engine/tokenizer.h"
#include "tests/shared_data.h"

namespace deciban {

struct Opening {
  std::string isa = {};  // empty: the best
  std::string mode = "f32";  // exact for weights stored as bf16 and f16 too
  int threads = 1;
  std::size_t chunk_rows = 0;
};

inline std::unique_ptr<LanguageModel> open_golden(const std::filesystem::path& file,
                                                  const Opening& how = {}) {
  const Checkpoint official = official_rwkv(Checkpoint::open(file));
  ModelOptions options;
  options.threads = how.threads;
  options.chunk_rows = how.chunk_rows;
  ModelInfo info;
  info.name = file.filename().string();
  return load_rwkv(official, byte_tokenizer(), how.isa.empty() ? cpu_backend() : cpu_backend(how.isa),
                   how.mode, options, std::move(info));
}

// A fixed list of sequences; fails none.
class ListSource final : public SequenceSource {
 public:
  explicit ListSource(std::vector<Sequence> list) : list_(std::move(list)) {}
  bool next(Sequence& out) override {
    if (next_ == list_.size()) return false;
    out = list_[next_++];
    return true;
  }

 private:
  std::vector<Sequence> list_;
  std::size_t next_ = 0;
};

struct Collected final : ScoreSink {
  std::map<std::size_t, std::vector<TokenScore>> scores;
  std::map<std::size_t, std::string> failures;
  bool keep_rows = false;
  std::map<std::size_t, std::vector<float>> logits;  // by index, rows one after the other
  std::map<std::size_t, std::vector<std::size_t>> positions;

  void scored(std::size_t index, std::span<const TokenScore> s) override {
    EXPECT_FALSE(scores.contains(index) || failures.contains(index))
        << "index " << index << " delivered twice";
    scores[index].assign(s.begin(), s.end());
  }
  void failed(std::size_t index, const std::string& reason) override {
    EXPECT_FALSE(scores.contains(index) || failures.contains(index))
        << "index " << index << " delivered twice";
    failures[index] = reason;
  }
  bool wants_rows() const override { return keep_rows; }
  void rows(std::size_t index, std::size_t position, const LogitRows& rows) override {
    for (std::size_t r = 0; r < rows.rows; ++r) positions[index].push_back(position + r);
    logits[index].insert(logits[index].end(), rows.data, rows.data + rows.rows * rows.columns);
  }
};

inline Collected score(LanguageModel& model, std::vector<Sequence> list, bool keep_rows = false) {
  ListSource source(std::move(list));
  Collected sink;
  sink.keep_rows = keep_rows;
  model.score(source, sink);
  return sink;
}

inline nlohmann::json read_json(const std::filesystem::path& file) {
  std::ifstream in(file);
  EXPECT_TRUE(in) << file;
  return nlohmann::json::parse(in);
}

// A one-dimensional little-endian float64 .npy file.
inline std::vector<double> read_npy(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const std::size_t header =
      10 + static_cast<unsigned char>(bytes.at(8)) + 256 * static_cast<unsigned char>(bytes.at(9));
  EXPECT_NE(bytes.substr(0, header).find("'<f8'"), std::string::npos) << file;
  std::vector<double> values((bytes.size() - header) / 8);
  std::memcpy(values.data(), bytes.data() + header, values.size() * 8);
  return values;
}

// Same bits, not just equal values.
inline bool same_bits(const std::vector<TokenScore>& a, const std::vector<TokenScore>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(TokenScore)) == 0);
}

}  // namespace deciban
