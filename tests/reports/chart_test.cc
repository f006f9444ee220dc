#include "reports/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> labels(const Scale& scale) {
  std::vector<std::string> result;
  for (const Tick& tick : scale.ticks()) result.push_back(tick.label);
  return result;
}

TEST(Scale, TicksAreRound) {
  EXPECT_THAT(labels(Scale(0.61, 0.79, 0, 100, Spacing::linear, 4)),
              ElementsAre("0.60", "0.65", "0.70", "0.75", "0.80"));
  EXPECT_THAT(labels(Scale(-3, 7, 0, 100, Spacing::linear, 3)), ElementsAre("−5", "0", "5", "10"));
  EXPECT_THAT(labels(Scale(2.12e6, 2.13e6, 0, 100, Spacing::linear, 2, true, TickUnit::count)),
              ElementsAre("2.120 M", "2.125 M", "2.130 M"));
  EXPECT_THAT(labels(Scale(1, 1000, 0, 100, Spacing::logarithmic, 3, false, TickUnit::bytes)),
              ElementsAre("1 B", "10 B", "100 B", "1 kB"));
  EXPECT_THAT(labels(Scale(2e-5, 3e-2, 0, 100, Spacing::logarithmic, 3, false, TickUnit::seconds)),
              ElementsAre("100 µs", "1 ms", "10 ms"));
}

TEST(Scale, PlacesValues) {
  const Scale linear(0, 10, 100, 200);
  EXPECT_DOUBLE_EQ(linear.at(5), 150);
  EXPECT_DOUBLE_EQ(linear.at(50), 200);
  const Scale log(1, 100, 0, 100, Spacing::logarithmic, 3, false);
  EXPECT_NEAR(log.at(10), 50, 1e-9);
  EXPECT_GT(Scale(3, 3, 0, 1).high(), 3);  // a single value gets room
  EXPECT_THROW(Scale(0, 1, 0, 1, Spacing::logarithmic), std::invalid_argument);
  EXPECT_THROW(Scale(0, INFINITY, 0, 1), std::invalid_argument);
}

TEST(Chart, LabelsMoveApartWithinTheirRoom) {
  EXPECT_THAT(chart_parts::spread({10, 12, 50}, 15, 0, 100), ElementsAre(3.5, 18.5, 50));
  EXPECT_THAT(chart_parts::spread({99, 98}, 15, 0, 100), ElementsAre(100, 85));
}

// A chart's structure and places: rows of 24 pixels from 8 on, dots on the axis that their ticks stand on.
TEST(Chart, DotsStandWhereTheirValuesAre) {
  pugi::xml_document document;
  DotsChart chart;
  chart.text = {"Title", "What it shows."};
  chart.x.title = "bits per byte";
  chart.rows = {{"first", "a", 1.0, Interval{0.9, 1.1}, true, false},
                {"second", "b", 2.0, std::nullopt, false, true}};
  const Node svg = draw_dots(document, chart, kWideChart);
  EXPECT_STREQ(svg.attribute("role").value(), "img");
  EXPECT_STREQ(svg.child("title").text().get(), "Title");
  EXPECT_STREQ(svg.child("desc").text().get(), "What it shows.");
  const pugi::xpath_node_set groups = svg.select_nodes("g");
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_STREQ(groups[0].node().attribute("class").value(), "accent");
  EXPECT_STREQ(groups[1].node().attribute("class").value(), "reference");
  EXPECT_EQ(groups[0].node().child("circle").attribute("cy").as_double(), 20);
  EXPECT_EQ(groups[1].node().child("circle").attribute("cy").as_double(), 44);
  // The tick "1.0" and the first dot share their x; the interval is centred on it.
  const Node tick = svg.select_node("text[.='1.0']").node();
  const double x = groups[0].node().child("circle").attribute("cx").as_double();
  EXPECT_NEAR(tick.attribute("x").as_double(), x, 0.01);
  const Node interval = groups[0].node().child("line");
  EXPECT_NEAR((interval.attribute("x1").as_double() + interval.attribute("x2").as_double()) / 2, x, 0.01);
  EXPECT_FALSE(groups[1].node().child("line"));
}

TEST(Chart, TheFrontIsWhatNobodyBeats) {
  ScatterChart chart;
  chart.points = {{"small", 1, 3, {}},
                  {"middle", 2, 2, {}},
                  {"beaten", 3, 2.5, {}},
                  {"large", 4, 1, {}},
                  {"elsewhere", 0.5, 0.5, {}, true}};
  EXPECT_EQ(pareto_front(chart), (std::vector<bool>{true, true, false, true, false}));
  chart.larger_x_is_better = true;
  EXPECT_EQ(pareto_front(chart), (std::vector<bool>{false, false, false, true, false}));
  pugi::xml_document document;
  EXPECT_TRUE(draw_scatter(document, chart, kNarrowChart).select_node("path[@class='front']").node().empty());
  chart.larger_x_is_better = false;
  EXPECT_FALSE(draw_scatter(document, chart, kWideChart).select_node("path[@class='front']").node().empty());
}

TEST(Chart, LinesHaveBandsNamesAndLaws) {
  pugi::xml_document document;
  LinesChart chart;
  chart.x = {"T", Spacing::logarithmic, TickUnit::count};
  chart.series = {{"model", {{1, 1, Interval{0.9, 1.1}}, {10, 2, Interval{1.8, 2.2}}}},
                  {"", {{1, 1, {}}, {10, 2, {}}}, true}};
  const Node svg = draw_lines(document, chart, kWideChart);
  EXPECT_FALSE(svg.select_node("g[@class='c0']/path[@class='band']").node().empty());
  EXPECT_FALSE(svg.select_node("g[@class='reference']/path[@class='line']").node().empty());
  EXPECT_FALSE(svg.select_node("text[@class='name c0' and .='model']").node().empty());
}

TEST(Chart, SortedDifferencesFillBothSides) {
  pugi::xml_document document;
  SortedChart chart;
  chart.below = "fewer";
  chart.above = "more";
  for (int i = -30; i < 70; ++i) chart.values.push_back(i);
  const Node svg = draw_sorted(document, chart, kWideChart);
  EXPECT_FALSE(svg.select_node("path[@class='area c0']").node().empty());
  EXPECT_FALSE(svg.select_node("text[.='fewer: 30']").node().empty());
  EXPECT_FALSE(svg.select_node("text[.='more: 69']").node().empty());
}

TEST(Markup, NothingOfATextBecomesMarkup) {
  pugi::xml_document document;
  Node root = add(document, "div");
  add_name(root, "<script>alert(1)</script>\" onload=\"x & 'y'");
  put(root, "title", "\"><b>");
  const std::string html = html_text(document);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, HasSubstr("&quot;&gt;&lt;b&gt;"));
  EXPECT_THROW(put(root, "x", NAN), std::logic_error);
}

}  // namespace
}  // namespace deciban
