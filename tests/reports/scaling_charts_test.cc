#include "reports/scaling_charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

CostPoint point(const std::string& model, const std::string& family, std::uint64_t parameters,
                std::size_t length, double seconds) {
  CostPoint p;
  p.model = model;
  p.family = family;
  p.device = "cpu";
  p.format = "f32";
  p.parameters = parameters;
  p.length = length;
  if (seconds > 0) p.metrics["generation_seconds"] = {seconds, 0.9 * seconds, 1.1 * seconds, 5};
  p.metrics["cache_bytes"] = {1e6, 1e6, 1e6, 1};
  p.metrics["workspace_bytes"] = {2e6, 2e6, 2e6, 1};
  return p;
}

std::string drawn(const std::vector<CostPoint>& points, void (*charts)(Node, std::span<const CostSeries>)) {
  Page page("a page");
  Node section = page.section("s", "a section");
  charts(section, cost_series(points));
  const std::string html = page.html();
  return html.substr(html.find("a section</h2>"));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::vector<CostPoint> two_sizes() {
  std::vector<CostPoint> points;
  for (const std::size_t length : {256, 512}) {
    const double t = static_cast<double>(length);
    points.push_back(point("r-small", "rwkv4", 169'000'000, length, 1e-3 * t));
    points.push_back(point("p-small", "gpt-neox", 162'000'000, length, 1e-6 * t * t));
    points.push_back(point("r-large", "rwkv4", 1'500'000'000, length, 1e-2 * t));
  }
  return points;
}

TEST(GenerationCharts, OneForEachSizeFromZero) {
  const std::string html = drawn(two_sizes(), generation_charts);
  EXPECT_EQ(count(html, "<h3>"), 2u);
  EXPECT_THAT(html, HasSubstr("Generating from nothing: 162 M to 169 M parameters"));
  EXPECT_THAT(html, HasSubstr("Generating from nothing: 1.50 B parameters"));
  EXPECT_EQ(count(html, "<figure>"), 2u);
  EXPECT_THAT(html, HasSubstr("r-large"));
}

TEST(GenerationCharts, NeedTwoLengthsOfAModel) {
  EXPECT_EQ(count(drawn({point("r", "rwkv4", 1000, 256, 1)}, generation_charts), "<figure>"), 0u);
  std::vector<CostPoint> failed = two_sizes();
  for (CostPoint& p : failed) p.status = "memory";
  EXPECT_EQ(count(drawn(failed, generation_charts), "<figure>"), 0u);
}

TEST(SizeCharts, OneLineAFamilyOfSeveralSizes) {
  std::vector<CostPoint> points = two_sizes();
  points.push_back(point("p-small", "gpt-neox", 162'000'000, 1024, 9));  // not the length that most share
  const std::string html = drawn(points, size_charts);
  EXPECT_EQ(count(html, "<figure>"), 2u);
  EXPECT_THAT(html, HasSubstr("time to generate 512 tokens"));
  EXPECT_THAT(html, HasSubstr("memory beside the parameters, 512 tokens"));
  EXPECT_THAT(html, HasSubstr("rwkv4"));
  EXPECT_THAT(html, Not(HasSubstr("gpt-neox")));  // of one size only
}

TEST(SizeCharts, WithoutGenerationTheStepIsShown) {
  std::vector<CostPoint> points = two_sizes();
  for (CostPoint& p : points) {
    p.metrics["step_seconds"] = p.metrics["generation_seconds"];
    p.metrics.erase("generation_seconds");
  }
  EXPECT_THAT(drawn(points, size_charts), HasSubstr("time for one token after 512"));
  EXPECT_EQ(count(drawn({}, size_charts), "<figure>"), 0u);
}

}  // namespace
}  // namespace deciban
