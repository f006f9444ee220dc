#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/paired.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostPairs = 4, kExtremes = 3;

void pair_of(Node section, const ReportInput& input, const Board& board, std::size_t base,
             std::size_t other) {
  const std::string &base_name = board.lineups[base]->name, &other_name = board.lineups[other]->name;
  std::vector<std::vector<PairedTerm>> corpora(board.sources.size());
  SortedChart chart;
  for (std::size_t s = 0; s < board.sources.size(); ++s) {
    for (std::size_t d = board.panel.source_begin[s]; d < board.panel.source_begin[s + 1]; ++d) {
      corpora[s].push_back({board.panel.bits[base][d], board.panel.bits[other][d], board.panel.bytes[d]});
      chart.values.push_back((board.panel.bits[other][d] - board.panel.bits[base][d]) / board.panel.bytes[d]);
    }
  }
  PairedOptions options;
  options.seed = input.options.seed;
  options.resamples = 2000;
  const PairedResult result = compare_pairs(corpora, options);
  Node heading = add(section, "h3");
  add_name(heading, other_name);
  put_text(heading, " against ");
  add_name(heading, base_name);
  std::string sentence = fmt::format("{:+.2f} % bits", 100 * result.relative.value);
  if (result.relative.interval) {
    sentence += fmt::format(" (95 % interval {:+.2f} … {:+.2f})", 100 * result.relative.interval->low,
                            100 * result.relative.interval->high);
  }
  sentence += fmt::format(": {}", verdict_word(result.verdict));
  if (result.verdict == Verdict::same) sentence += " within 0.5 %";
  if (result.detectable)
    sentence += fmt::format(". These documents would show a difference of {:.2f} % four times in five",
                            100 * *result.detectable);
  paragraph(section, sentence + ".");

  chart.text = {"Differences document by document",
                fmt::format("Differences in bits per byte of {} documents, sorted.", chart.values.size())};
  chart.y.title = "bits per byte more than the base";
  chart.below = "fewer bits";
  chart.above = "more bits";
  figure(section,
         "Each document is a column, sorted by its difference; the filled areas are documents on which the "
         "model needs "
         "fewer bits than the base (left) and more (right), and their numbers.",
         [&](Node parent, double width) { draw_sorted(parent, chart, width); });

  // The documents at the ends.
  std::vector<std::size_t> order(chart.values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return chart.values[a] < chart.values[b]; });
  std::vector<std::size_t> ends(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(kExtremes, order.size() / 2)));
  ends.insert(ends.end(), order.end() - static_cast<std::ptrdiff_t>(std::min(kExtremes, order.size() / 2)),
              order.end());
  if (ends.empty()) return;
  Node body = table(section, "Documents with the largest differences",
                    {{"document", false}, {"source", false}, {"bytes"}, {"base"}, {"model"}, {"difference"}});
  for (const std::size_t d : ends) {
    const DocumentEntry& entry = input.collection.documents[board.documents[d]];
    Node row = add(body, "tr");
    name_cell(row, entry.id);
    add_name(add(row, "td"), input.collection.corpora[entry.corpus].name);
    number_cell(row, grouped_digits(static_cast<std::uint64_t>(board.panel.bytes[d])));
    number_cell(row, fixed(board.panel.bits[base][d] / board.panel.bytes[d], 4));
    number_cell(row, fixed(board.panel.bits[other][d] / board.panel.bytes[d], 4));
    number_cell(row, fmt::format("{:+.4f}", chart.values[d]));
  }
}

}  // namespace

void difference_section(Page& page, const ReportInput& input) {
  if (input.boards.empty()) return;
  const Board& board = input.boards[0];
  const std::vector<std::size_t> models = models_of(board);
  if (models.size() < 2 || board.documents.size() < 2) return;
  Node section = page.section("differences", "Document by document");
  paragraph(
      section,
      "A mean may come from a small advantage everywhere or a large one on few documents. Each model is set "
      "against the first one of the leaderboard.");
  for (std::size_t i = 1; i < std::min(models.size(), kMostPairs + 1); ++i)
    pair_of(section, input, board, models[0], models[i]);
  if (models.size() > kMostPairs + 1) {
    paragraph(section,
              fmt::format("The other {} are left out here; deciban compare shows any pair.",
                          models.size() - kMostPairs - 1),
              "soft");
  }
}

}  // namespace deciban
