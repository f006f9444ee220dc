#include "reports/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/shared_data.h"

namespace deciban {
namespace {

using testing::SizeIs;

double sum_of(const std::vector<Record>& records, const char* measure, double* weight = nullptr) {
  double sum = 0;
  for (const Record& record : records) {
    const auto found = record.measures.find(measure);
    if (found == record.measures.end()) continue;
    sum += found->second.sum;
    if (weight) *weight += found->second.weight;
  }
  return sum;
}

TEST(Import, UncheatableLogsOfBothGenerations) {
  const Imported older = import_text(
      R"({"neg_log_prob_sum": 1000.0, "avg tokens": 500, "avg character count": 1900.5, "avg bytes": 2000,
          "sample_count": 10, "model_name_or_path": "RWKV/rwkv-4-169m", "data_path": "data/bbc_news_2024.json",
          "chunk_size": 1024, "single": NaN})",
      "log.json");
  ASSERT_THAT(older.records, SizeIs(1));
  const Record& record = older.records[0];
  EXPECT_EQ(record.model, "rwkv-4-169m");
  EXPECT_EQ(record.corpus, "bbc_news_2024");
  EXPECT_EQ(record.windowing, "uncheatable:1024");
  EXPECT_EQ(record.bytes, 20000u);
  EXPECT_EQ(record.characters, 19005u);
  EXPECT_DOUBLE_EQ(record.logprob, -10000);
  // compression_rate = 1000 / 2000 / ln 2 × 12.5
  EXPECT_NEAR(12.5 * record.measures.at("bits_per_byte").sum / 20000, 9.016844, 1e-6);
  EXPECT_EQ(
      import_text(
          R"({"neg_log_prob_sum": 1, "avg bytes": 2, "sample_count": 3, "bos_mode": "x", "chunk_size": 4000})",
          "m-set.json")
          .records[0]
          .windowing,
      "uncheatable2:4000");
}

// The published ratio comes out of the sums again.
TEST(Import, PublishedReferenceResults) {
  DECIBAN_NEEDS_SHARED("data/uncheatable/reference_results/a800_bpb.json");
  const Imported imported = import_file(shared("data/uncheatable/reference_results/a800_bpb.json"));
  ASSERT_THAT(imported.records, SizeIs(15));
  double bytes = 0;
  const double bits = sum_of(imported.records, "bits_per_byte", &bytes);
  EXPECT_NEAR(bits / bytes, 0.60846426, 2e-8);
}

TEST(Import, LmEvalSamplesGiveItsOwnResults) {
  DECIBAN_NEEDS_SHARED("golden/tasks/format/RWKV__rwkv-4-169m-pile");
  const auto folder = shared("golden/tasks/format/RWKV__rwkv-4-169m-pile");
  const auto samples = [&](const char* task) {
    return import_file(folder / (std::string("samples_") + task + "_2026-11-23T04-31-14.269460.jsonl"));
  };
  const Imported lambada = samples("lambada_openai");
  ASSERT_THAT(lambada.records, SizeIs(3));
  EXPECT_EQ(lambada.records[0].model, "rwkv-4-169m-pile");
  EXPECT_EQ(lambada.records[0].task, "lambada_openai");
  EXPECT_NEAR(std::exp(-sum_of(lambada.records, "perplexity") / 3) / 3.0274000406143988e+16, 1, 1e-12);
  EXPECT_NEAR(sum_of(lambada.records, "acc") / 3, 0.6666666666666666, 1e-12);
  ASSERT_THAT(samples("arc_easy").records[0].queries, SizeIs(4));
  EXPECT_DOUBLE_EQ(samples("arc_easy").records[0].queries[1].logprob, -16.501759);
  double bytes = 0;
  const double nats = -sum_of(samples("wikitext").records, "byte_perplexity", &bytes);
  EXPECT_NEAR(std::exp(nats / bytes), 4.593480048812893, 1e-12);
  const Imported results = import_file(folder / "results_2026-11-23T04-31-14.269460.json");
  EXPECT_THAT(results.records, SizeIs(5));
}

TEST(Import, LlamaBench) {
  const Imported imported = import_text(
      R"([{"model_filename":"m.gguf","model_type":"llama 1B Q8_0","model_n_params":1235814400,"n_threads":2,
           "n_prompt":512,"n_gen":0,"avg_ns":1000000000,"samples_ns":[990000000,1000000000,1010000000]},
          {"model_filename":"m.gguf","model_type":"llama 1B Q8_0","n_prompt":0,"n_gen":128,"n_depth":512,
           "samples_ns":[6400000000]}])",
      "bench.json");
  ASSERT_THAT(imported.costs, SizeIs(2));
  EXPECT_EQ(imported.costs[0].length, 512u);
  EXPECT_DOUBLE_EQ(imported.costs[0].metrics.at("prefill_seconds").value, 1.0);
  EXPECT_EQ(imported.costs[0].metrics.at("prefill_seconds").samples, 3u);
  EXPECT_DOUBLE_EQ(imported.costs[1].metrics.at("step_seconds").value, 0.05);
  EXPECT_EQ(imported.costs[1].length, 512u);
}

TEST(Import, GoogleBenchmark) {
  const Imported imported = import_text(
      R"({"context":{"date":"d"},"benchmarks":[
          {"name":"BM/512","run_name":"BM/512","run_type":"iteration","real_time":12.5,"time_unit":"us"},
          {"name":"BM/512","run_name":"BM/512","run_type":"iteration","real_time":13.5,"time_unit":"us"},
          {"name":"BM/512_mean","run_name":"BM/512","run_type":"aggregate","real_time":13,"time_unit":"us"}]})",
      "gb.json");
  ASSERT_THAT(imported.costs, SizeIs(1));
  EXPECT_NEAR(imported.costs[0].metrics.at("run_seconds").value, 13e-6, 1e-12);
  EXPECT_EQ(imported.costs[0].kind, "benchmark");
}

TEST(Import, WhatIsNotKnownIsAnError) {
  for (const char* text :
       {"", "x", "[]", "{}", "[1]", R"({"neg_log_prob_sum":"x","avg bytes":1,"sample_count":1})",
        R"({"neg_log_prob_sum":1,"avg bytes":0,"sample_count":1})", R"({"context":1,"benchmarks":2})",
        R"({"results":1,"configs":{}})", R"([{"n_prompt":1,"n_gen":0}])", R"({"doc_id":1})"}) {
    EXPECT_ANY_THROW(import_text(text, "x.json")) << text;
  }
}

}  // namespace
}  // namespace deciban
