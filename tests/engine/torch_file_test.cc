#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/engine/checkpoint_files.h"
#include "tests/engine/damage.h"
#include "tests/engine/error_of.h"
#include "tests/engine/tiny_rwkv.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using namespace testing_files;
using ::testing::AllOf;
using ::testing::HasSubstr;

Encoding encoding_of(const std::string& dtype) {
  static const std::map<std::string, Encoding> kTypes = {
      {"float32", Encoding::f32}, {"float16", Encoding::f16}, {"bfloat16", Encoding::bf16},
      {"float64", Encoding::f64}, {"int64", Encoding::i64},   {"int32", Encoding::i32},
      {"uint8", Encoding::u8},    {"bool", Encoding::boolean}};
  return kTypes.at(dtype);
}

double number(const nlohmann::json& json) {
  return json.is_string() ? std::stod(json.get<std::string>()) : json.get<double>();
}

void expect_tensors_of(const std::filesystem::path& path, const nlohmann::json& expected) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  EXPECT_EQ(checkpoint.format, "pth");
  EXPECT_EQ(checkpoint.files, std::vector{path});
  ASSERT_EQ(checkpoint.tensors.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& wanted = expected[i];
    const StoredTensor& tensor = checkpoint.tensors[i];
    SCOPED_TRACE(path.string() + " " + tensor.name);
    EXPECT_EQ(tensor.name, wanted.at("name"));
    EXPECT_EQ(tensor.encoding, encoding_of(wanted.at("dtype")));
    EXPECT_EQ(tensor.shape, wanted.at("shape").get<std::vector<std::size_t>>());
    EXPECT_EQ(tensor.strides, wanted.at("stride").get<std::vector<std::ptrdiff_t>>());
    const auto values = tensor.read_all();
    const auto& listed = wanted.at("values").is_null() ? wanted.at("first") : wanted.at("values");
    ASSERT_GE(values.size(), listed.size());
    for (std::size_t k = 0; k < listed.size(); ++k)
      EXPECT_EQ(values[k], static_cast<float>(number(listed[k]))) << k;
    double sum = 0, squares = 0;
    for (const double value : values) {
      sum += value;
      squares += value * value;
    }
    if (std::isfinite(sum) && std::isfinite(squares)) {
      EXPECT_NEAR(sum, number(wanted.at("sum")), 1e-9 * (1 + std::abs(sum)));
      EXPECT_NEAR(squares, number(wanted.at("sumsq")), 1e-9 * (1 + squares));
    }
  }
}

// Python writes Infinity into JSON, which is not JSON: read as text.
nlohmann::json loader_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  for (const auto& [from, to] : {std::pair{"-Infinity", "\"-inf\""}, std::pair{"Infinity", "\"inf\""}}) {
    for (std::size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, std::strlen(from), to);
  }
  return nlohmann::json::parse(text);
}

class LoaderFile : public ::testing::TestWithParam<const char*> {};

TEST_P(LoaderFile, HasTheListedTensors) {
  const auto folder = golden("rwkv/loader");
  expect_tensors_of(folder / GetParam(), loader_json(folder / "loader.json").at(GetParam()).at("tensors"));
}

INSTANTIATE_TEST_SUITE_P(Golden, LoaderFile,
                         ::testing::Values("views_shared_storage.pth", "dtypes.pth",
                                           "ordereddict_with_metadata.pth", "parameters.pth",
                                           "mixed_dtype_rwkv_like.pth"),
                         [](const auto& info) { return "File" + std::to_string(info.index); });

TEST(TorchFile, ReadsFilesOfARecentPyTorch) {
  for (const char* name : {"real_260123_reverse_L2_only_rwkv7.pth", "real_251016_rosa_1bit_run.pth"}) {
    const std::string path = std::string("golden/rwkv/loader/") + name;
    DECIBAN_NEEDS_SHARED(path);
    expect_tensors_of(shared(path),
                      loader_json(shared("golden/rwkv/loader/loader.json")).at(name).at("tensors"));
  }
}

TEST(TorchFile, DescendsIntoTheOnlyDictionaryOfTensors) {
  const Checkpoint checkpoint = Checkpoint::open(golden("rwkv/loader/nested_state_dict.pth"));
  ASSERT_EQ(checkpoint.tensors.size(), 1u);
  EXPECT_EQ(checkpoint.tensors[0].name, "a");
  EXPECT_EQ(checkpoint.tensors[0].shape, (std::vector<std::size_t>{2, 2}));
}

TEST(TorchFile, LegacyFilesSayWhatToDo) {
  EXPECT_THAT(
      error_of([] { Checkpoint::open(golden("rwkv/loader/legacy_nonzip.pth")); }),
      AllOf(HasSubstr("legacy_nonzip.pth"), HasSubstr("before version 1.6"), HasSubstr("torch.save")));
}

const TorchView kView{.storage_elements = 8, .shape = {2, 2}, .strides = {2, 1}};

std::string file_with(const TorchView& view) {
  return torch_file_of(pickled(pickle_dict({{"t", pickle_tensor(view)}})));
}

TEST(TorchFile, ReadsWhatItsWriterWrote) {
  for (const bool zip64_end : {true, false}) {
    for (const bool zip64_entries : {true, false}) {
      for (const char* comment : {"", "a comment"}) {
        ZipStyle style;
        style.zip64_end = zip64_end;
        style.zip64_entries = zip64_entries;
        style.padding = zip64_end;
        style.comment = comment;
        const Checkpoint checkpoint =
            read_bytes(torch_file({f32_tensor("a", {2, 3}, {1, 2, 3, 4, 5, 6}),
                                   {"b", {2}, packed<std::uint16_t>({0x3f80, 0x4000}), Encoding::bf16}},
                                  style));
        ASSERT_EQ(checkpoint.tensors.size(), 2u);
        EXPECT_EQ(checkpoint.at("a").transposed().read_all(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
        EXPECT_EQ(checkpoint.at("b").read_all(), (std::vector<float>{1, 2}));
      }
    }
  }
}

TEST(TorchFile, ReadsOtherPicklings) {
  // Protocol 4 with frames, memo, short strings and STACK_GLOBAL.
  std::string pickle("\x80\x04\x95", 3);
  const std::string real("G\x3f\xf0\0\0\0\0\0\0", 9);
  const std::string value =
      "}\x94(\x8c\x01t\x94\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93\x94((\x8c\x07storage"
      "\x8c\x05torch\x8c\x0c"
      "FloatStorage\x93\x8c\x01"
      "0\x8c\x03"
      "cpuK\x08tQK\x02K\x02K\x02\x86K\x02K\x01\x86\x89"
      "\x8c\x0b"
      "collections\x8c\x0bOrderedDict\x93)RtR\x8c\x05"
      "epochK\x03\x8c\x02lr" +
      real +
      "\x8c\x03"
      "bigM\xff\xff\x8c\x01n\x8a\x01\xff\x8c\x04list](K\x01K\x02"
      "e\x8c\x04"
      "noneNu.";
  put<std::uint64_t>(pickle, value.size());
  const Checkpoint checkpoint = read_bytes(torch_file_of(pickle + value));
  ASSERT_EQ(checkpoint.tensors.size(), 1u);
  EXPECT_EQ(checkpoint.at("t").read_all(), (std::vector<float>{2, 3, 4, 5}));
}

TEST(TorchFile, StorageMayBeLargerAndShared) {
  TorchView second = kView;
  second.offset = 1;
  second.strides = {1, 3};
  const auto checkpoint = read_bytes(
      torch_file_of(pickled(pickle_dict({{"a", pickle_tensor(kView)}, {"b", pickle_tensor(second)}}))));
  EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(checkpoint.at("b").read_all(), (std::vector<float>{1, 4, 2, 5}));
}

TEST(TorchFile, RefusesTensorsBeyondTheirStorage) {
  const auto refused = [](auto change, const char* reason) {
    TorchView view = kView;
    change(view);
    EXPECT_THAT(error_of([&] { read_bytes(file_with(view)); }),
                AllOf(HasSubstr("file: tensor 't'"), HasSubstr(reason)));
  };
  refused([](TorchView& v) { v.offset = 5; }, "beyond its storage");
  refused([](TorchView& v) { v.shape = {4, 3}; }, "beyond its storage");
  refused([](TorchView& v) { v.strides = {7, 1}; }, "beyond its storage");
  refused([](TorchView& v) { v.storage_elements = 9; }, "too few for 9 elements");
  refused([](TorchView& v) { v.shape = {1000, 1000}, v.strides = {0, 0}; }, "more elements than its storage");
  refused([](TorchView& v) { v.key = "7"; }, "'7' is not in the file");
  refused([](TorchView& v) { v.shape = {2}; }, "strides");
  refused([](TorchView& v) { v.shape = {0xffffffff, 2}; }, "impossible value -1");
  refused([](TorchView& v) { v.shape.assign(9, 1), v.strides.assign(9, 1); }, "at most 8");
  refused([](TorchView& v) { v.type = "DoubleStorage"; }, "too few");
}

TEST(TorchFile, RefusesSizesThatOverflow) {
  // 2^47 in each dimension, as LONG1.
  const std::string huge("\x8a\x06\0\0\0\0\0\x7f", 8);
  std::string tensor = pickle_tensor(kView);
  const std::string shape = pickle_numbers(kView.shape), strides = pickle_numbers(kView.strides);
  tensor.replace(tensor.find(shape), shape.size(), "(" + huge + huge + "t");
  tensor.replace(tensor.find(strides), strides.size(), "(" + huge + huge + "t");
  EXPECT_THAT(error_of([&] {
                read_bytes(torch_file_of(pickled(pickle_dict({{"t", tensor}}))));
              }),
              HasSubstr("overflows"));
}

TEST(TorchFile, RefusesForeignGlobalsByName) {
  const std::string call =
      pickle_global("os", "system") + "(" + pickle_text("echo hello > /tmp/deciban_was_here") + "tR";
  EXPECT_THAT(error_of([&] { read_bytes(torch_file_of(pickled(call))); }), HasSubstr("'os.system'"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/deciban_was_here"));
  for (const auto& [module, object] :
       {std::pair{"builtins", "eval"}, std::pair{"__builtin__", "exec"}, std::pair{"torch", "FloatStorage "},
        std::pair{"torch._utils", "_rebuild"}}) {
    EXPECT_THAT(
        error_of([&, m = module, o = object] { read_bytes(torch_file_of(pickled(pickle_global(m, o)))); }),
        HasSubstr(std::string(module) + "." + object));
  }
  // The same through STACK_GLOBAL.
  EXPECT_THAT(error_of([] {
                read_bytes(torch_file_of(std::string("\x80\x04\x8c\x05posix\x8c\x06system\x93.", 19)));
              }),
              HasSubstr("'posix.system'"));
}

TEST(TorchFile, RefusesOtherOpcodes) {
  // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID, INT: able to make objects, or of protocols before 2.
  for (const char opcode : {'i', 'o', '\x81', '\x92', '\x82', 'P', 'I', 'S', '\xff', '2'}) {
    EXPECT_THAT(error_of([&] { read_bytes(torch_file_of(pickled(std::string("}") + opcode))); }),
                HasSubstr("opcode 0x"));
  }
}

TEST(TorchFile, RefusesBrokenPickles) {
  for (const char* body : {"",
                           "}0",
                           "0",
                           "(",
                           ")R",
                           "t",
                           "}u",
                           "]}a",
                           "h\x07",
                           "]K\x01s",
                           "}K\x01"
                           "a",
                           "}K\x01K\x02K\x03u",
                           "K\x01)R",
                           "}}b",
                           "(0",
                           "}(K\x01u",
                           "K\x01K\x02",
                           "\x93",
                           "K\x01K\x02\x93",
                           "X\xff\xff\xff\xff",
                           "\x95\xff\xff\xff\xff\xff\xff\xff\xff",
                           "\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
                           "Q",
                           "K\x01Q"}) {
    SCOPED_TRACE(::testing::PrintToString(body));
    EXPECT_THAT(error_of([&] { read_bytes(torch_file_of(pickled(body))); }), HasSubstr("file: "));
  }
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of("\x80\x01}.")); }), HasSubstr("protocol 1"));
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of(pickled("]"))); }), HasSubstr("dictionary of tensors"));
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of(pickled("}"))); }), HasSubstr("no tensors"));
}

TEST(TorchFile, SurvivesBombs) {
  // A list of ten lists, each the same list of ten lists…: 10^30 leaves, if anyone walked them.
  std::string laughs =
      "]q\x01K\x01"
      "a";
  for (int level = 1; level < 30; ++level) {
    laughs += std::string("]q") + static_cast<char>(level + 1) + "(";
    for (int i = 0; i < 10; ++i) laughs += std::string("h") + static_cast<char>(level);
    laughs += "e";
  }
  EXPECT_THAT(error_of([&] { read_bytes(torch_file_of(pickled("}(" + pickle_text("x") + laughs))); }),
              HasSubstr("pickle"));
  // A dictionary inside itself.
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of(pickled("}q\x01" + pickle_text("x") + "h\x01s"))); }),
              HasSubstr("no tensors"));
  // Dictionaries a hundred thousand deep.
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "}" + pickle_text("x");
  deep += "}" + std::string(100'000, 's');
  EXPECT_THAT(error_of([&] { read_bytes(torch_file_of(pickled(deep))); }), HasSubstr("no tensors"));
  // More marks, values and memos than any model has.
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of(pickled(std::string(5'000'000, '(')))); }),
              HasSubstr("beyond any model"));
  EXPECT_THAT(error_of([] { read_bytes(torch_file_of(pickled(std::string(5'000'000, 'N')))); }),
              HasSubstr("values"));
}

TEST(TorchFile, RefusesSeveralDictionariesOfTensors) {
  const std::string inner = pickle_dict({{"t", pickle_tensor(kView)}});
  EXPECT_THAT(error_of([&] {
                read_bytes(torch_file_of(pickled(pickle_dict({{"model", inner}, {"ema", inner}}))));
              }),
              AllOf(HasSubstr("'model'"), HasSubstr("'ema'")));
  const auto nested = read_bytes(
      torch_file_of(pickled(pickle_dict({{"a", pickle_dict({{"state_dict", inner}})}, {"b", "N"}}))));
  EXPECT_EQ(nested.tensors.size(), 1u);
  EXPECT_THAT(error_of([&] {
                read_bytes(torch_file_of(
                    pickled(pickle_dict({{"t", pickle_tensor(kView)}, {"t", pickle_tensor(kView)}}))));
              }),
              HasSubstr("two tensors are named 't'"));
}

TEST(TorchFile, ChecksByteOrderAndChecksum) {
  const std::string pickle = pickled(pickle_dict({{"t", pickle_tensor(kView)}}));
  const std::string storage = packed<float>({0, 1, 2, 3, 4, 5, 6, 7});
  const auto with = [&](const std::string& order, std::optional<std::uint32_t> crc) {
    ZipWritten data{"a b/c/data.pkl", pickle};
    data.crc = crc;
    return zip_file({data, {"a b/c/byteorder", order}, {"a b/c/data/0", storage}});
  };
  EXPECT_EQ(read_bytes(with("little", {})).tensors.size(), 1u);
  EXPECT_EQ(read_bytes(with("little", 0)).tensors.size(), 1u);  // PyTorch can leave checksums out
  EXPECT_THAT(error_of([&] { read_bytes(with("big", {})); }), HasSubstr("byte order 'big'"));
  EXPECT_THAT(error_of([&] { read_bytes(with("little", 1)); }), HasSubstr("checksum"));
}

TEST(Zip, RefusesWhatPyTorchNeverWrites) {
  const auto refused = [](std::vector<ZipWritten> entries, const char* reason) {
    EXPECT_THAT(error_of([&] { read_bytes(zip_file(entries)); }),
                AllOf(HasSubstr("file: "), HasSubstr(reason)));
  };
  ZipWritten deflated{"m/data.pkl", "xx"};
  deflated.method = 8;
  refused({deflated}, "'m/data.pkl' is compressed (method 8)");
  ZipWritten encrypted{"m/data.pkl", "xx"};
  encrypted.flags |= 1;
  refused({encrypted}, "encrypted");
  refused({{"m/data.pkl", "xx"}, {"m/data.pkl", "yy"}}, "two entries are named");
  refused({{"m/data.pkl", "xx"}, {"n/data.pkl", "yy"}}, "two entries data.pkl");
  refused({{"m/other", "xx"}}, "without data.pkl");
  ZipStyle small;
  small.zip64_end = false;
  EXPECT_THAT(error_of([&] { read_bytes(zip_file({}, small)); }), HasSubstr("without data.pkl"));
  // A bomb of entries that all show the same bytes.
  ZipWritten overlap{"m/data/1", "yy"};
  overlap.stated_offset = 0;
  refused({{"m/data/1", "xx"}, overlap}, "overlap");
  ZipWritten longer{"m/data.pkl", "xx"};
  longer.stated_size = 100;
  refused({longer, {"m/data/0", std::string(200, 'y')}}, "overlap");
  ZipWritten outside{"m/data.pkl", "xx"};
  outside.stated_size = 1'000'000;
  refused({outside}, "does not fit");
  ZipWritten elsewhere{"m/data.pkl", "xx"};
  elsewhere.stated_offset = 3;
  refused({elsewhere}, "no local header");
}

TEST(TorchFile, SurvivesTruncationAndBitFlips) {
  const std::string whole = torch_file(tiny_rwkv("4", {.layers = 1}));
  expect_truncations_refused(whole);
  survive_bit_flips(whole);
  const std::string views = file_with(kView);
  expect_truncations_refused(views);
  survive_bit_flips(views, 20'000);
}

}  // namespace
}  // namespace deciban
