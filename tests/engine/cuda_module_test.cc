// The way to the CUDA module, with a module that needs no CUDA: what is missing is said in words, devices are
// chosen by words, and several cards share the sequences.
#include "engine/cuda_module.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "engine/device.h"
#include "tests/engine/error_of.h"
#include "tests/engine/scoring.h"

namespace deciban {
namespace {

class CudaModule : public testing::Test {
 protected:
  void SetUp() override { use(DECIBAN_FAKE_CUDA); }
  void TearDown() override {
    ::setenv("DECIBAN_CUDA_MODULE", "none", 1);
    ::unsetenv("DECIBAN_FAKE_CARDS");
    ::unsetenv("DECIBAN_FAKE_BUILD");
  }
  static void use(const std::string& module) { ::setenv("DECIBAN_CUDA_MODULE", module.c_str(), 1); }
  static void cards(const char* kinds) { ::setenv("DECIBAN_FAKE_CARDS", kinds, 1); }
  static std::string devices_error() {
    return error_of([] { cuda_devices(); });
  }
  static bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  static std::unique_ptr<LanguageModel> open(const std::string& device, const std::string& mode = "auto",
                                             bool deterministic = false) {
    ModelOptions options;
    options.device = device;
    options.format = mode;
    options.tokenizer = "bytes";
    options.deterministic = deterministic;
    return open_model((source_dir() / "datasets/demo/rwkv7/model.pth").string(), options);
  }
};

TEST_F(CudaModule, WhatIsMissingIsSaid) {
  use("none");
  EXPECT_TRUE(says(devices_error(), "switched off by DECIBAN_CUDA_MODULE=none"));
  EXPECT_FALSE(cuda_available());
  use("/nowhere/libdeciban_cuda.so");
  EXPECT_TRUE(says(devices_error(), "there is no module '/nowhere/libdeciban_cuda.so'")) << devices_error();
  EXPECT_TRUE(says(devices_error(), "--device cpu"));
  const std::filesystem::path text = std::filesystem::temp_directory_path() / "deciban-no-module.so";
  std::ofstream(text) << "not a library";
  use(text.string());
  EXPECT_TRUE(says(devices_error(), "cannot be opened")) << devices_error();
  std::filesystem::remove(text);
  use("libdeciban_engine.so");  // a path that does not exist: it is no search through the loader's folders
  EXPECT_TRUE(says(devices_error(), "there is no module"));
}

TEST_F(CudaModule, WhatTheDriverSaysIsPassedOn) {
  cards("!the driver is too old");
  EXPECT_TRUE(says(devices_error(), "the driver is too old")) << devices_error();
  EXPECT_TRUE(says(devices_error(), "--device cpu"));
  EXPECT_FALSE(cuda_available());
  cards("");
  EXPECT_TRUE(says(devices_error(), "shows no device")) << devices_error();
  EXPECT_FALSE(cuda_available());
}

TEST_F(CudaModule, DevicesAreListed) {
  cards("90,80");
  const std::vector<CudaDevice> devices = cuda_devices();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].name, "a card that is none");
  EXPECT_EQ(devices[1].major, 8);
  EXPECT_EQ(devices[1].free_bytes, std::uint64_t{8} << 30);
  EXPECT_TRUE(cuda_available());
  const std::string error = error_of([] { cuda_backend(2, false); });
  EXPECT_TRUE(says(error, "there is no device 2: this machine has 2 (0 to 1)")) << error;
}

TEST_F(CudaModule, AnotherBuildsModuleIsRefused) {
  ::setenv("DECIBAN_FAKE_BUILD", "0.0.1 (older)", 1);
  const std::string error = error_of([] { cuda_backend(0, false); });
  EXPECT_TRUE(says(error, "of build 0.0.1 (older), the engine of ")) << error;
}

TEST_F(CudaModule, DeviceWordsAreRead) {
  EXPECT_EQ(parse_device("auto").kind, DeviceWord::Kind::automatic);
  EXPECT_EQ(parse_device("cpu").kind, DeviceWord::Kind::cpu);
  EXPECT_EQ(parse_device("cuda").indices, std::vector<int>{0});
  EXPECT_EQ(parse_device("cuda:3,0,11").indices, (std::vector<int>{3, 0, 11}));
  for (const char* bad : {"", "gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:,1", "cuda:0,0", "cuda:-1",
                          "cuda:1 ", "cuda:99999999999", "Cuda", "cpu:0"}) {
    EXPECT_THROW(parse_device(bad), std::invalid_argument) << bad;
  }
}

TEST_F(CudaModule, AutoIsTheCardThatComputesTheMode) {
  EXPECT_EQ(open("auto")->info().device, "cuda:0");
  EXPECT_EQ(open("auto", "int8a")->info().device, "cpu");  // the card refuses
  cards("");
  EXPECT_EQ(open("auto")->info().device, "cpu");
  use("none");
  EXPECT_EQ(open("auto")->info().device, "cpu");
  EXPECT_THROW(open("cuda"), std::runtime_error);
}

TEST_F(CudaModule, ModesAreTheCards) {
  EXPECT_EQ(open("cpu")->info().format, cpu_backend()->usual_mode("bf16"));
  EXPECT_EQ(open("cuda")->info().format, "bf16a");
  EXPECT_EQ(open("cuda", "f32")->info().format, "f32");
  try {
    open("cuda:0", "int8a");
    FAIL() << "a refused mode was taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_TRUE(says(error.what(), "mode 'int8a' on cuda:0: int8 activations")) << error.what();
  }
}

TEST_F(CudaModule, InfoNamesCardsAndWhatResultsDependOn) {
  cards("90,90,90");
  const auto model = open("cuda:2,0");
  EXPECT_EQ(model->info().device, "cuda:2,0");
  EXPECT_EQ(model->info().kernels, "sm_90");
  EXPECT_EQ(model->info().threads, 4);  // two streams a card
  EXPECT_EQ(model->memory().device, model->memory().weights);
  EXPECT_EQ(open("cuda:1", "auto", true)->info().kernels, "sm_90 deterministic");
}

TEST_F(CudaModule, CardsOfTwoKindsDoNotShareARun) {
  cards("90,80");
  const std::string error = error_of([] { open("cuda:0,1"); });
  EXPECT_TRUE(says(error, "cuda:0 is sm_90 and cuda:1 is sm_80")) << error;
  EXPECT_TRUE(says(error, "--shard"));
}

TEST_F(CudaModule, TwoCardsScoreWhatOneDoes) {
  cards("90,90");
  std::mt19937 random(1);
  std::vector<std::vector<Token>> texts(17);
  std::vector<Sequence> list;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts[i].resize(20 + 37 * i);
    for (Token& token : texts[i]) token = static_cast<Token>(random() % 256);
    list.push_back({.tokens = texts[i]});
  }
  const Collected want = score(*open("cpu", "bf16a"), list);
  for (const char* device : {"cuda", "cuda:0,1"}) {
    const Collected got = score(*open(device), list);
    for (std::size_t i = 0; i < list.size(); ++i)
      EXPECT_TRUE(same_bits(got.scores.at(i), want.scores.at(i))) << "document " << i << " on " << device;
  }
}

TEST_F(CudaModule, CheckingAModelChecksItsDevice) {
  ModelOptions options;
  options.device = "cuda:1";
  EXPECT_TRUE(says(error_of([&] { check_model("random:rwkv7-0.1b", options); }), "no device 1"));
  options.device = "cuda:0";
  EXPECT_NO_THROW(check_model("random:rwkv7-0.1b", options));
  const std::string error = error_of([&] { check_model("random:rwkv7-13.3b", options); });
  EXPECT_TRUE(says(error, "and 8.00 GiB are free")) << error;
}

}  // namespace
}  // namespace deciban
