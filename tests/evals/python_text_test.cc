#include "evals/python_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "evals/python_random.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

nlohmann::json golden_json(const std::string& name) {
  std::ifstream in(golden("tasks/" + name));
  return nlohmann::json::parse(in);
}

TEST(PythonText, IsAsCPythonSays) {
  const nlohmann::json cases = golden_json("python_strings.json");
  for (const auto& c : cases["capitalize"]) EXPECT_EQ(python::capitalize(c[0].get<std::string>()), c[1]);
  for (const auto& c : cases["first_lower"]) EXPECT_EQ(python::lower_first(c[0].get<std::string>()), c[1]);
  for (const auto& c : cases["strip"]) EXPECT_EQ(python::strip(c[0].get_ref<const std::string&>()), c[1]);
  for (const auto& c : cases["split_ws_count"])
    EXPECT_EQ(python::fields_between_space(c[0].get<std::string>()), c[1]) << c;
  for (const auto& c : cases["isdigit"]) EXPECT_EQ(python::is_digits(c[0].get<std::string>()), c[1]) << c;
}

TEST(PythonText, LowersSigmaByItsPlace) {
  EXPECT_EQ(python::lower("ΟΔΟΣ Σ ΑΣ. ΣΑ"), "οδος σ ας. σα");
  EXPECT_EQ(python::lower("ΑΣ\u0301"), "ας\u0301");
  EXPECT_EQ(python::lower("ΑΣʰΑ"), "ασʰα");
}

TEST(PythonText, KeepsBytesThatAreNoText) {
  EXPECT_EQ(python::lower("A\xff\xfe"), "a\xff\xfe");
  EXPECT_EQ(python::strip(" \xff "), "\xff");
  EXPECT_EQ(python::length("\xff\xfe"), 2u);
}

TEST(PythonText, CountsSplitsAndReplaces) {
  EXPECT_EQ(python::length("日本é"), 3u);
  EXPECT_EQ(python::without_last("日本"), "日");
  EXPECT_EQ(python::without_last(""), "");
  EXPECT_EQ(python::replace("    ", "  ", " "), "  ");
  EXPECT_EQ(python::split("a  b", " "), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(python::split(" a\u3000b ", ""), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(python::trailing_space("a \u3000"), 4u);
}

TEST(PythonText, WritesNumbersAsRepr) {
  EXPECT_EQ(python::repr(-48.4), "-48.4");
  EXPECT_EQ(python::repr(-0.0), "-0.0");
  EXPECT_EQ(python::repr(1e-5), "1e-05");
  EXPECT_EQ(python::repr(0.0001), "0.0001");
  EXPECT_EQ(python::repr(1e16), "1e+16");
  EXPECT_EQ(python::repr(123456789012345680.0), "1.2345678901234568e+17");
  EXPECT_EQ(python::repr(9999999999999998.0), "9999999999999998.0");
  EXPECT_EQ(python::repr(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(python::repr(std::nan("")), "nan");
}

TEST(PythonText, EscapesJsonAsAscii) {
  EXPECT_EQ(python::ascii_json("a\"\\\n\x01é日\U0001F600\x7f"),
            "\"a\\\"\\\\\\n\\u0001\\u00e9\\u65e5\\ud83d\\ude00\x7f\"");
}

TEST(PythonRandom, IsCPythons) {
  const nlohmann::json cases = golden_json("python_rng.json");
  {
    PythonRandom random(1234);
    for (const auto& value : cases["seed1234"]["random_x5"]) EXPECT_EQ(random.unit(), value.get<double>());
  }
  {
    PythonRandom random(1234);
    for (const auto& value : cases["seed1234"]["getrandbits32_x5"])
      EXPECT_EQ(random.bits(32), value.get<std::uint32_t>());
  }
  PythonRandom one(1234);
  for (const auto& c : cases["sample_sequence"])
    EXPECT_EQ(one.sample(c["n"], c["k"]), c["indices"].get<std::vector<std::size_t>>()) << c["n"];
  std::vector<std::size_t> order(30);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  PythonRandom(42).shuffle(order);
  EXPECT_EQ(order, cases["shuffle_seed42_n30"].get<std::vector<std::size_t>>());
  PythonRandom other(42);
  for (const auto& value : cases["random_seed42_x3"]) EXPECT_EQ(other.unit(), value.get<double>());
  for (const auto& c : cases["choices"]) {
    PythonRandom random(c["seed"].get<std::uint64_t>());
    for (const auto& index : c["indices"]) EXPECT_EQ(random.choice(c["n"]), index.get<std::size_t>());
  }
}

TEST(PythonRandom, RefusesASampleBeyondItsPopulation) {
  EXPECT_THROW(PythonRandom(1).sample(2, 3), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
