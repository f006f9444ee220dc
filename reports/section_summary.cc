#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "reports/display_text.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

void fact(Node list, std::string_view name, std::string_view value) {
  Node entry = add(list, "div");
  add_text(entry, "dt", name);
  add_text(entry, "dd", value);
}

// First and last day of all sittings.
std::pair<std::string, std::string> days(const Collection& collection) {
  std::string first, last;
  for (const RunFile& run : collection.run_files) {
    for (const RunSitting& sitting : run.sittings) {
      const std::string day = sitting.started.substr(0, 10);
      if (day.empty()) continue;
      if (first.empty() || day < first) first = day;
      last = std::max(last, day);
    }
  }
  return {first, last};
}

// What the first board says, in a sentence or two.
void verdict(Node header, const Board& board) {
  Node text = add(header, "p", "lede");
  const std::vector<std::size_t> models = models_of(board);
  if (models.empty()) return;
  const LineUp& best = *board.lineups[models[0]];
  const Estimate& bits = board.figures.models[models[0]].pooled;
  add_name(text, best.name);
  put_text(text, fmt::format(" needs {} bits per byte", fixed(bits.value, 4)));
  if (bits.interval) put_text(text, fmt::format(" (95 % interval {})", interval_text(bits.interval, 4)));
  put_text(text, models.size() > 1 ? fmt::format(", the fewest of {} models.", models.size()) : ".");
  if (models.size() < 2 || !board.figures.critical) return;
  std::vector<std::size_t> tied;
  for (std::size_t i = 1; i < models.size(); ++i) {
    const auto interval = board.figures.difference(models[0], models[i]);
    if (interval && interval->low <= 0) tied.push_back(models[i]);
  }
  if (tied.empty()) {
    put_text(text, " All others are shown to need more.");
    return;
  }
  put_text(text, " These texts do not tell it apart from ");
  for (std::size_t i = 0; i < std::min<std::size_t>(tied.size(), 3); ++i) {
    if (i > 0) put_text(text, i + 1 == tied.size() ? " and " : ", ");
    add_name(text, board.lineups[tied[i]]->name);
  }
  put_text(text, tied.size() > 3 ? fmt::format(" and {} more.", tied.size() - 3) : ".");
}

// What was scored.
void score_facts(Node facts, const Collection& collection) {
  std::set<std::string> models;
  std::set<std::uint32_t> documents;
  std::size_t results = 0;
  for (const LineUp& lineup : collection.lineups) {
    if (!lineup.compressor) models.insert(lineup.name);
    if (lineup.windowing == "solid") continue;
    results += lineup.scores.size();
    for (const DocumentScore& score : lineup.scores) documents.insert(score.document);
  }
  double bytes = 0;
  std::set<std::uint32_t> corpora;
  for (const std::uint32_t document : documents) {
    bytes += static_cast<double>(collection.documents[document].bytes);
    corpora.insert(collection.documents[document].corpus);
  }
  if (!models.empty()) fact(facts, models.size() == 1 ? "model" : "models", grouped_digits(models.size()));
  if (documents.empty()) return;
  fact(facts, "documents", grouped_digits(documents.size()));
  fact(facts, corpora.size() == 1 ? "source" : "sources", grouped_digits(corpora.size()));
  fact(facts, "text", short_byte_size(bytes));
  fact(facts, "scores", grouped_digits(results));
}

// What was measured, where nothing was scored.
void cost_facts(Node facts, const Collection& collection) {
  std::set<std::string> models;
  std::set<std::size_t> lengths;
  for (const CostPoint& point : collection.costs) {
    models.insert(point.model);
    lengths.insert(point.length);
  }
  fact(facts, models.size() == 1 ? "model" : "models", grouped_digits(models.size()));
  fact(facts, lengths.size() == 1 ? "length" : "lengths", grouped_digits(lengths.size()));
  fact(facts, collection.costs.size() == 1 ? "point" : "points", grouped_digits(collection.costs.size()));
}

}  // namespace

std::vector<std::size_t> models_of(const Board& board) {
  std::vector<std::size_t> models;
  for (std::size_t i = 0; i < board.lineups.size(); ++i) {
    if (!board.lineups[i]->compressor) models.push_back(i);
  }
  return models;
}

std::string listed(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  const std::size_t shown = names.size() > most ? most : names.size();
  for (std::size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == shown && shown == names.size();
    text += (i == 0 ? ""
             : last ? " and "
                    : ", ") +
            shorten_middle(display_text(names[i].substr(0, 1000)), 40);
  }
  return names.size() > most ? fmt::format("{} and {} more", text, names.size() - most) : text;
}

void summary_section(Page& page, const ReportInput& input) {
  Node header = page.header();
  const Collection& collection = input.collection;
  add_text(header, "p", "deciban report", "kicker");
  const bool scored = !input.boards.empty();
  const bool only_costs = collection.lineups.empty() && !collection.costs.empty();
  std::string title = input.options.title;
  if (title.empty()) {
    title = scored
                ? fmt::format("{} {} of text under {} {}", grouped_digits(input.boards[0].documents.size()),
                              input.boards[0].documents.size() == 1 ? "piece" : "pieces",
                              models_of(input.boards[0]).size(),
                              models_of(input.boards[0]).size() == 1 ? "model" : "models")
            : !collection.lineups.empty() ? "Language models on tasks"
            : only_costs                  ? "What length costs"
                                          : "Gates";
  }
  add_text(header, "h1", shorten_middle(display_text(title.substr(0, 2000)), 160));
  if (scored) {
    verdict(header, input.boards[0]);
    paragraph(header,
              "The better a model predicts a text, the fewer bits it needs to encode it; bits per byte "
              "compare models "
              "whatever their tokenizers. Smaller is better. Every figure comes with a 95 % interval over "
              "documents.",
              "soft");
  } else if (only_costs) {
    paragraph(
        header,
        "Time and memory measured over the number of tokens; every time is a median with its 95 % interval.",
        "soft");
  }

  Node facts = add(header, "dl", "facts");
  if (!collection.lineups.empty()) score_facts(facts, collection);
  if (only_costs) cost_facts(facts, collection);
  if (!collection.gates.empty())
    fact(facts, collection.gates.size() == 1 ? "gate" : "gates", grouped_digits(collection.gates.size()));
  fact(facts, collection.sources.size() == 1 ? "run" : "runs", grouped_digits(collection.sources.size()));
  const auto [first, last] = days(collection);
  if (!first.empty()) fact(facts, "when", first == last ? first : first + " – " + last);

  if (collection.warnings.empty()) return;
  Node warnings = add(header, "ul", "warnings");
  for (const std::string& warning : collection.warnings) add_text(warnings, "li", warning.substr(0, 1000));
}

}  // namespace deciban
