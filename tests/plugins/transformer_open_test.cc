// Opening transformers: what configs may say, GGUF files against the Hugging Face ones they stand for, random
// shapes, limits, devices, and the way through the C ABI.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "plugins/transformer/gguf_tokenizer.h"
#include "plugins/transformer/random_shapes.h"
#include "tests/engine/checkpoint_files.h"
#include "tests/engine/error_of.h"
#include "tests/plugins/transformer_scoring.h"
#include "tests/scratch_directory.h"

namespace deciban::transformer {
namespace {

using namespace testing_files;
using nlohmann::json;

json config(const std::string& name) { return read_json(golden("transformers/" + name + "/config.json")); }
std::vector<Token> encoded(const std::string& name) {
  return read_json(golden("transformers/" + name + "/expected.json"))["tokens"].get<std::vector<Token>>();
}
std::string refusal(const json& changed) {
  return error_of([&] { shape_of_config(changed.dump(), "FILE"); });
}

TEST(TransformerConfig, WhatMayChangeTheMathsIsRefusedByName) {
  json c = config("llama");
  c["attn_logit_softcapping"] = 50.0;
  EXPECT_NE(refusal(c).find("FILE: the field 'attn_logit_softcapping' (50.0) is not known"),
            std::string::npos);
  c = config("llama");
  c["attn_logit_softcapping"] = nullptr;  // says nothing
  EXPECT_NO_THROW(shape_of_config(c.dump(), "FILE"));
  c["rope_parameters"]["rope_type"] = "longrope";
  EXPECT_NE(refusal(c).find("rope_type 'longrope' is not supported"), std::string::npos);
  c = config("llama");
  c["rope_parameters"]["wobble"] = 2;
  EXPECT_NE(refusal(c).find("rope_parameters: the field 'wobble'"), std::string::npos);
  c = config("bloom");
  c["apply_residual_connection_post_layernorm"] = true;
  EXPECT_NE(refusal(c).find("apply_residual_connection_post_layernorm is true"), std::string::npos);
  c = config("gpt2");
  c["activation_function"] = "quick_gelu";
  EXPECT_NE(refusal(c).find("'quick_gelu'"), std::string::npos);
  c = config("qwen3");
  c["layer_types"] = {"full_attention", "linear_attention"};
  EXPECT_NE(refusal(c).find("layer_types[1]"), std::string::npos);
  EXPECT_NE(refusal({{"model_type", "gemma"}}).find("known: gpt2, gpt_neox, opt, bloom, llama"),
            std::string::npos);
  EXPECT_NE(error_of([] { shape_of_config("[1", "FILE"); }).find("not a JSON object"), std::string::npos);
}

TEST(TransformerConfig, SizesMustGoTogether) {
  json c = config("llama");
  c["num_key_value_heads"] = 3;
  EXPECT_NE(refusal(c).find("4 heads cannot share 3 heads of keys"), std::string::npos);
  c = config("llama");
  c["hidden_size"] = -4;
  EXPECT_NE(refusal(c).find("hidden_size is -4"), std::string::npos);
  c = config("llama");
  c.erase("intermediate_size");
  EXPECT_NE(refusal(c).find("has no intermediate_size"), std::string::npos);
  c = config("llama");
  c["head_dim"] = 7;
  EXPECT_NE(refusal(c).find("7 channels of a head are to be turned: an odd number"), std::string::npos);
}

// Files from before transformers 5 have rope_theta and rope_scaling beside each other.
TEST(TransformerConfig, OldAndNewFieldsOfRotaryPositionsAreTheSame) {
  for (const std::string name : {"llama-llama3", "llama-yarn", "llama-linear", "neox"}) {
    const json now = config(name);
    json old = now;
    const json rope = now["rope_parameters"];
    old.erase("rope_parameters");
    if (name == "neox") {
      old["rotary_pct"] = rope["partial_rotary_factor"];
      old["rotary_emb_base"] = rope["rope_theta"];
    } else {
      old["rope_theta"] = rope["rope_theta"];
      json scaling = rope;
      scaling.erase("rope_theta");
      scaling["type"] = scaling["rope_type"];
      scaling.erase("rope_type");
      old["rope_scaling"] = scaling;
    }
    const Shape a = shape_of_config(now.dump(), "a"), b = shape_of_config(old.dump(), "b");
    EXPECT_EQ(a.rope.frequencies, b.rope.frequencies) << name;
    EXPECT_EQ(a.rope.magnitude, b.rope.magnitude);
    EXPECT_EQ(a.rope.rotary, b.rope.rotary);
  }
}

TEST(TransformerTensors, AStrangeTensorIsRefused) {
  Checkpoint checkpoint = Checkpoint::open(golden("transformers/llama"));
  const Shape shape = shape_of_config(checkpoint.config, "config.json");
  checkpoint.tensors.push_back(owned_tensor("model.layers.0.self_attn.sinks", {4}, {1, 2, 3, 4}));
  const auto open = [&] {
    load_transformer(checkpoint, shape, byte_tokenizer(), cpu_backend(), {.device = "cpu", .format = "f32"},
                     {});
  };
  EXPECT_NE(error_of(open).find("model.layers.0.self_attn.sinks"), std::string::npos);
  checkpoint.tensors.pop_back();
  EXPECT_NO_THROW(open());
  std::erase_if(checkpoint.tensors,
                [](const StoredTensor& t) { return t.name == "model.layers.1.mlp.up_proj.weight"; });
  EXPECT_NE(error_of(open).find("has no tensor 'model.layers.1.mlp.up_proj.weight'"), std::string::npos);
}

// The golden Llama as llama.cpp's converter writes it: other names, rows of q and k reordered.
std::string llama_gguf(const Checkpoint& source, std::vector<std::string> more = {}) {
  std::vector<WrittenTensor> tensors;
  const auto add = [&](const std::string& to, const std::string& from, std::size_t permuted_heads = 0) {
    StoredTensor t = source.at(from);
    if (permuted_heads != 0) {
      const std::size_t size = t.shape[0] / permuted_heads;
      t = t.reshaped({permuted_heads, 2, size / 2, t.shape[1]}).permuted({0, 2, 1, 3});
      tensors.push_back(f32_tensor(to, {permuted_heads * size, t.shape[3]}, t.read_all()));
    } else {
      tensors.push_back(f32_tensor(to, t.shape, t.read_all()));
    }
  };
  add("token_embd.weight", "model.embed_tokens.weight");
  add("output_norm.weight", "model.norm.weight");
  add("output.weight", "lm_head.weight");
  for (const std::string i : {"0", "1"}) {
    const std::string to = "blk." + i + ".", from = "model.layers." + i + ".";
    add(to + "attn_norm.weight", from + "input_layernorm.weight");
    add(to + "ffn_norm.weight", from + "post_attention_layernorm.weight");
    add(to + "attn_q.weight", from + "self_attn.q_proj.weight", 4);
    add(to + "attn_k.weight", from + "self_attn.k_proj.weight", 4);
    add(to + "attn_v.weight", from + "self_attn.v_proj.weight");
    add(to + "attn_output.weight", from + "self_attn.o_proj.weight");
    add(to + "ffn_up.weight", from + "mlp.up_proj.weight");
    add(to + "ffn_gate.weight", from + "mlp.gate_proj.weight");
    add(to + "ffn_down.weight", from + "mlp.down_proj.weight");
  }
  const auto head =
      static_cast<std::uint32_t>(source.at("model.layers.0.self_attn.q_proj.weight").shape[0] / 4);
  std::vector<std::string> metadata{gguf_text("general.architecture", "llama"),
                                    gguf_u32("llama.block_count", 2),
                                    gguf_u32("llama.embedding_length", 32),
                                    gguf_u32("llama.feed_forward_length", 48),
                                    gguf_u32("llama.attention.head_count", 4),
                                    gguf_u32("llama.attention.head_count_kv", 4),
                                    gguf_u32("llama.attention.key_length", head),
                                    gguf_u32("llama.attention.value_length", head),
                                    gguf_u32("llama.context_length", 512),
                                    gguf_u32("llama.rope.dimension_count", head),
                                    gguf_number<float>("llama.attention.layer_norm_rms_epsilon", 6, 1e-5f),
                                    gguf_text("tokenizer.ggml.model", "none")};
  metadata.insert(metadata.end(), more.begin(), more.end());
  return gguf_file(metadata, tensors);
}

// A GGUF's bytes as a file give the golden model's log-probabilities.
void expect_golden(const std::string& bytes, const std::string& name) {
  const ScratchDirectory scratch;
  const auto file = scratch.path() / "tiny.gguf";
  std::ofstream(file, std::ios::binary) << bytes;
  const auto model = open_transformer(file.string(), {.device = "cpu", .format = "f32"});
  const auto scores = score_one(*model, encoded(name));
  const auto exact =
      read_json(golden("transformers/" + name + "/expected.json"))["logprobs64"].get<std::vector<double>>();
  ASSERT_EQ(scores.size(), exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(scores[i].logprob, exact[i], 3e-4) << i;
}

TEST(TransformerGguf, ALlamaIsTheSameAsItsHuggingFaceFiles) {
  expect_golden(llama_gguf(Checkpoint::open(golden("transformers/llama"))), "llama");
}

TEST(TransformerGguf, YarnIsReadAsTheConverterWritesIt) {
  expect_golden(llama_gguf(Checkpoint::open(golden("transformers/llama-yarn")),
                           {gguf_text("llama.rope.scaling.type", "yarn"),
                            gguf_number<float>("llama.rope.scaling.factor", 6, 4),
                            gguf_u32("llama.rope.scaling.original_context_length", 128),
                            gguf_number<float>("llama.rope.freq_base", 6, 1000)}),
                "llama-yarn");
}

// BLOOM's q, k and v, which lie head by head, are thirds in a GGUF.
TEST(TransformerGguf, ABloomIsTheSameAsItsHuggingFaceFiles) {
  const Checkpoint source = Checkpoint::open(golden("transformers/bloom"));
  const std::string root = source.find("transformer.word_embeddings.weight") != nullptr ? "transformer." : "";
  std::vector<WrittenTensor> tensors;
  const auto add = [&](const std::string& to, const std::string& from) {
    for (const char* what : {".weight", ".bias"}) {
      const StoredTensor* found = source.find(root + from + what);
      if (found == nullptr) continue;
      StoredTensor t = *found;
      const std::vector<std::size_t> shape = t.shape;
      if (to.ends_with("attn_qkv")) {
        constexpr std::size_t kHeads = 6;
        t = shape.size() == 2
                ? t.reshaped({kHeads, 3, shape[0] / kHeads / 3, shape[1]}).permuted({1, 0, 2, 3})
                : t.reshaped({kHeads, 3, shape[0] / kHeads / 3}).permuted({1, 0, 2});
      }
      tensors.push_back(f32_tensor(to + what, shape, t.read_all()));
    }
  };
  add("token_embd", "word_embeddings");
  add("token_embd_norm", "word_embeddings_layernorm");
  add("output_norm", "ln_f");
  for (const std::string i : {"0", "1"}) {
    const std::string to = "blk." + i + ".", from = "h." + i + ".";
    add(to + "attn_norm", from + "input_layernorm");
    add(to + "attn_qkv", from + "self_attention.query_key_value");
    add(to + "attn_output", from + "self_attention.dense");
    add(to + "ffn_norm", from + "post_attention_layernorm");
    add(to + "ffn_up", from + "mlp.dense_h_to_4h");
    add(to + "ffn_down", from + "mlp.dense_4h_to_h");
  }
  const auto file_with = [&](std::uint32_t ffn) {
    return gguf_file({gguf_text("general.architecture", "bloom"), gguf_u32("bloom.block_count", 2),
                      gguf_u32("bloom.embedding_length", 36), gguf_u32("bloom.feed_forward_length", ffn),
                      gguf_u32("bloom.attention.head_count", 6), gguf_u32("bloom.attention.head_count_kv", 6),
                      gguf_u32("bloom.context_length", 2048),
                      gguf_number<float>("bloom.attention.layer_norm_epsilon", 6, 1e-5f),
                      gguf_text("tokenizer.ggml.model", "none")},
                     tensors);
  };
  expect_golden(file_with(144), "bloom");
  const Checkpoint odd = read_bytes(file_with(100));
  EXPECT_NE(error_of([&] { shape_of_gguf(odd, "FILE"); }).find("feed_forward_length of 100"),
            std::string::npos);
}

TEST(TransformerGguf, UnknownMetadataOfTheArchitectureIsRefused) {
  Checkpoint c = read_bytes(llama_gguf(Checkpoint::open(golden("transformers/llama"))));
  EXPECT_NO_THROW(shape_of_gguf(c, "FILE"));
  c.metadata["llama.attention.clamp_kqv"] = "8";
  EXPECT_NE(error_of([&] { shape_of_gguf(c, "FILE"); }).find("'llama.attention.clamp_kqv' (8)"),
            std::string::npos);
  c.metadata.erase("llama.attention.clamp_kqv");
  c.metadata["llama.rope.scaling.type"] = "longrope";
  EXPECT_NE(error_of([&] { shape_of_gguf(c, "FILE"); }).find("by 'longrope'"), std::string::npos);
  c.metadata["llama.rope.scaling.type"] = "yarn";
  c.metadata["llama.rope.scaling.factor"] = "4";
  c.metadata["llama.rope.scaling.original_context_length"] = "128";
  EXPECT_NO_THROW(shape_of_gguf(c, "FILE"));
  c.metadata["llama.rope.scaling.attn_factor"] = "1.5";  // two programs read it differently
  EXPECT_NE(error_of([&] { shape_of_gguf(c, "FILE"); }).find("'llama.rope.scaling.attn_factor' (1.5)"),
            std::string::npos);
  c.metadata.erase("llama.rope.scaling.attn_factor");
  c.metadata["llama.attention.sliding_window"] = "4096";
  EXPECT_NE(error_of([&] { shape_of_gguf(c, "FILE"); }).find("sliding window"), std::string::npos);
}

TEST(TransformerGguf, SentencePieceVocabulariesMergeByScore) {
  Checkpoint c;
  c.format = "gguf";
  c.metadata = {{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.bos_token_id", "1"}};
  c.vocabulary = {"<unk>", "<s>", "</s>"};
  c.token_types = {2, 3, 3};
  c.token_scores = {0, 0, 0};
  for (int byte = 0; byte < 256; ++byte) {
    c.vocabulary.push_back(fmt::format("<0x{:02X}>", byte));
    c.token_types.push_back(6);
    c.token_scores.push_back(0);
  }
  const std::pair<const char*, float> pieces[] = {{"\u2581", -9},  {"a", -10}, {"b", -11}, {"c", -12},
                                                  {"\u2581a", -2}, {"bc", -1}, {"ab", -3}, {"\u2581abc", -4}};
  for (const auto& [text, score] : pieces) {
    c.vocabulary.push_back(text);
    c.token_types.push_back(1);
    c.token_scores.push_back(score);
  }
  const auto tokenizer = gguf_tokenizer(c, "FILE");
  const Token first = 259;
  EXPECT_EQ(tokenizer->start_token(), 1);
  // "▁abc": bc has the best score, then ▁a, and these two make ▁abc.
  EXPECT_EQ(tokenizer->encode("abc"), (std::vector<Token>{first + 7}));
  EXPECT_EQ(tokenizer->encode("ab"), (std::vector<Token>{first + 4, first + 2}));
  EXPECT_EQ(tokenizer->encode("\u00e9"), (std::vector<Token>{first, 3 + 0xc3, 3 + 0xa9}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("abc \u00e9 cab")), "abc \u00e9 cab");
  c.metadata["tokenizer.ggml.model"] = "bert";
  EXPECT_NE(error_of([&] { gguf_tokenizer(c, "FILE"); }).find("is 'bert'; known: gpt2, llama"),
            std::string::npos);
  c.metadata["tokenizer.ggml.model"] = "gpt2";
  c.metadata["tokenizer.ggml.pre"] = "mystery";
  EXPECT_NE(error_of([&] { gguf_tokenizer(c, "FILE"); }).find("'mystery'"), std::string::npos);
}

TEST(RandomTransformers, EveryShapeIsComplete) {
  for (const std::string& name : random_shapes()) {
    EXPECT_NO_THROW(check_transformer("random:" + name, {.device = "cpu"})) << name;
  }
  EXPECT_EQ(random_transformer("pythia-160m").weights.at("output.weight").shape,
            (std::vector<std::size_t>{50304, 768}));
  EXPECT_THROW(random_transformer("pythia-161m"), std::invalid_argument);
  EXPECT_THROW(random_transformer("gpt2,depth=2"), std::invalid_argument);
}

TEST(RandomTransformers, SayWhatTheyAre) {
  const auto model =
      open_transformer("random:smollm2-135m,layers=2,vocab=300", {.device = "cpu", .format = "bf16"});
  const ModelInfo& info = model->info();
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.layers, 2u);
  EXPECT_FALSE(info.constant_state);
  EXPECT_EQ(info.state_bytes, 2u * 2 * 3 * 64 * 4);
  EXPECT_EQ(info.context_limit, 8192u);
  const std::uint64_t before = model->memory().cache;
  const auto batch = model->start_batch(3);
  batch->step(std::vector<Token>{1, 2, 3});
  EXPECT_EQ(before, 0u);
  EXPECT_EQ(model->memory().cache, 3 * KvCache::kPage * info.state_bytes);
  EXPECT_EQ(batch->state_bytes(), model->memory().cache);
  EXPECT_GT(model->memory().weights, 2u * 300 * 576);
  EXPECT_THROW(batch->step(std::vector<Token>{1, 2, 300}), std::invalid_argument);
  EXPECT_THROW(batch->step(std::vector<Token>{1}), std::invalid_argument);
}

TEST(TransformerLimits, LearnedPositionsEnd) {
  const auto model = open_golden("gpt2-variant");  // 160 positions
  const std::vector<Token> fits(161, 7), longer(162, 7);
  const Collected got = score(*model, {{.tokens = fits}, {.tokens = longer}});
  EXPECT_EQ(got.scores.at(0).size(), 160u);
  EXPECT_NE(got.failures.at(1).find("162 tokens is longer than the 161"), std::string::npos);
  const auto batch = model->start_batch(1);
  const std::vector<Token> step{7};
  for (int i = 0; i < 160; ++i) batch->step(step);
  EXPECT_NE(error_of([&] { batch->step(step); }).find("no positions for more"), std::string::npos);
}

// Sequences that share a prefix fork the cache and score as they would alone.
TEST(TransformerPacking, SharedPrefixesChangeNothing) {
  const auto model = open_golden("llama-gqa-sharded", {.chunk_rows = 50});
  const std::vector<Token> base = encoded("llama-gqa-sharded");
  std::vector<std::vector<Token>> texts;
  for (Token last = 3; last < 20; ++last) {
    texts.push_back(base);
    texts.back().resize(100);
    for (std::size_t i = 0; i < 10; ++i) texts.back().push_back((last * 7 + static_cast<Token>(i) * 5) % 61);
  }
  std::vector<Sequence> shared_list, plain;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    shared_list.push_back({.tokens = texts[i], .first = 100, .shared = i == 0 ? 0u : 100u});
    plain.push_back({.tokens = texts[i], .first = 100});
  }
  const Collected a = score(*model, shared_list), b = score(*model, plain);
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_TRUE(same_bits(a.scores.at(i), b.scores.at(i))) << i;
}

TEST(TransformerDevice, ACardWithoutAttentionIsRefusedByNameAndAutoTakesTheCpu) {
  setenv("DECIBAN_CUDA_MODULE", DECIBAN_FAKE_CUDA, 1);
  const std::string why = error_of([] { attention_backend({.device = "cuda:0"}); });
  EXPECT_NE(why.find("cuda:0 does not compute attention"), std::string::npos);
  EXPECT_NE(why.find("--device cpu"), std::string::npos);
  EXPECT_EQ(attention_backend({.device = "auto"})->device(), "cpu");
  setenv("DECIBAN_CUDA_MODULE", "none", 1);
}

// The engine hands what is a transformer to the plugin, through the C ABI, and gets the same bits.
TEST(TransformerRouting, GoesThroughTheAbiUnchanged) {
  const ScratchDirectory scratch;
  const auto folder = scratch.path() / "a,b";  // a comma in the path
  std::filesystem::copy(golden("transformers/llama"), folder);
  ModelOptions options{.device = "cpu", .format = "f32", .tokenizer = "bytes"};
  const std::string no_fit = error_of([&] { open_model(folder.string(), options); });
  EXPECT_NE(no_fit.find("61 embedding rows"), std::string::npos);  // 61 ids cannot be bytes: it says so
  const auto routed =
      open_model("random:smollm2-135m,layers=2,vocab=300", {.device = "cpu", .format = "bf16a"});
  const auto direct =
      open_transformer("random:smollm2-135m,layers=2,vocab=300", {.device = "cpu", .format = "bf16a"});
  EXPECT_EQ(routed->info().digest, direct->info().digest);
  EXPECT_EQ(routed->info().family, "llama");
  const std::vector<Token> tokens = encoded("llama");
  EXPECT_TRUE(same_bits(score_one(*routed, tokens), score_one(*direct, tokens)));
  EXPECT_THROW(open_model("random:no-such-model", {.device = "cpu"}), std::invalid_argument);
}

}  // namespace
}  // namespace deciban::transformer
