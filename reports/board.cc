#include "reports/board.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "reports/figures.h"

namespace deciban {
namespace {

constexpr double kEnoughCommon = 0.9;  // of the largest line-up's documents
constexpr double kPercentPerBit = 12.5;

// What must agree for figures to be compared.
struct Setting {
  std::string task, windowing, start;
  auto operator<=>(const Setting&) const = default;
};

Setting setting_of(const LineUp& lineup) {
  const bool none = lineup.start == "none";
  return {lineup.task, lineup.windowing, lineup.start.empty() ? "" : none ? "none" : "token"};
}

std::vector<std::uint32_t> documents_of(const LineUp& lineup) {
  std::vector<std::uint32_t> documents;
  for (const DocumentScore& score : lineup.scores) {
    if (score.bytes > 0) documents.push_back(score.document);
  }
  return documents;  // scores are sorted
}

std::size_t common(const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b) {
  std::vector<std::uint32_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both.size();
}

struct Group {
  Setting setting;
  std::vector<const LineUp*> lineups;
  std::vector<std::uint32_t> first;  // documents of the largest line-up
};

void fill(Board& board, const Collection& collection, std::uint64_t seed) {
  std::vector<std::uint32_t> documents = documents_of(*board.lineups[0]), all = documents;
  for (const LineUp* lineup : board.lineups) {
    const std::vector<std::uint32_t> own = documents_of(*lineup);
    std::vector<std::uint32_t> both, either;
    std::set_intersection(documents.begin(), documents.end(), own.begin(), own.end(),
                          std::back_inserter(both));
    std::set_union(all.begin(), all.end(), own.begin(), own.end(), std::back_inserter(either));
    documents.swap(both);
    all.swap(either);
  }
  board.left_out = all.size() - documents.size();
  // Sources by name, documents by id: the order must not depend on which run was read first.
  std::sort(documents.begin(), documents.end(), [&](std::uint32_t a, std::uint32_t b) {
    const DocumentEntry &x = collection.documents[a], &y = collection.documents[b];
    const CorpusEntry &u = collection.corpora[x.corpus], &v = collection.corpora[y.corpus];
    return std::tie(u.name, u.digest, x.id) < std::tie(v.name, v.digest, y.id);
  });
  board.documents = documents;
  std::unordered_map<std::uint32_t, std::size_t> place;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const DocumentEntry& entry = collection.documents[documents[i]];
    if (i == 0 || entry.corpus != collection.documents[documents[i - 1]].corpus) {
      board.panel.source_begin.push_back(i);
      board.sources.push_back(collection.corpora[entry.corpus].name);
    }
    place[documents[i]] = i;
  }
  board.panel.source_begin.push_back(documents.size());
  board.panel.bytes.assign(documents.size(), 0);
  const auto bits_of = [&](const LineUp& lineup) {
    std::vector<double> bits(documents.size(), 0);
    for (const DocumentScore& score : lineup.scores) {
      const auto found = place.find(score.document);
      if (found == place.end()) continue;
      bits[found->second] = score.bits;
      board.panel.bytes[found->second] = static_cast<double>(score.bytes);
    }
    return bits;
  };
  std::vector<std::pair<double, const LineUp*>> order;
  for (const LineUp* lineup : board.lineups) {
    const std::vector<double> bits = bits_of(*lineup);
    order.emplace_back(std::accumulate(bits.begin(), bits.end(), 0.0), lineup);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  board.lineups.clear();
  for (const auto& [bits, lineup] : order) {
    board.lineups.push_back(lineup);
    board.panel.bits.push_back(bits_of(*lineup));
  }
  board.figures = panel_figures(board.panel, seed);
}

Cell number(double value, int digits) {
  return std::isfinite(value) ? Cell{fixed(value, digits), fmt::format("{}", value)}
                              : Cell{kNoFigure, "null"};
}

Cell count(std::uint64_t value) {
  return value == 0 ? Cell{kNoFigure, "null"} : Cell{grouped_digits(value), std::to_string(value)};
}

}  // namespace

double Board::total_bytes() const { return std::accumulate(panel.bytes.begin(), panel.bytes.end(), 0.0); }

std::string Board::setting() const {
  std::string words = fmt::format("{}, window {}", task, windowing);
  if (start == "none") words += ", without a start token";
  if (start == "token") words += ", after a start token";
  return words;
}

std::vector<Board> make_boards(const Collection& collection, std::uint64_t seed) {
  std::vector<const LineUp*> models, compressors;
  for (const LineUp& lineup : collection.lineups) {
    if (!lineup.text || lineup.scores.empty() || lineup.windowing == "solid") continue;
    (lineup.compressor ? compressors : models).push_back(&lineup);
  }
  const auto larger = [](const LineUp* a, const LineUp* b) { return a->scores.size() > b->scores.size(); };
  std::stable_sort(models.begin(), models.end(), larger);
  std::vector<Group> groups;
  const auto join = [&](const LineUp* lineup, bool any_setting) {
    const std::vector<std::uint32_t> own = documents_of(*lineup);
    bool joined = false;
    for (Group& group : groups) {
      if (any_setting ? group.setting.task != lineup->task : group.setting != setting_of(*lineup)) continue;
      const std::size_t both = common(group.first, own);
      if (static_cast<double>(both) < kEnoughCommon * static_cast<double>(group.first.size())) continue;
      group.lineups.push_back(lineup);
      joined = true;
      if (!any_setting) break;
    }
    return joined;
  };
  for (const LineUp* lineup : models) {
    if (!join(lineup, false)) groups.push_back({setting_of(*lineup), {lineup}, documents_of(*lineup)});
  }
  for (const LineUp* lineup : compressors) {
    if (!join(lineup, true)) groups.push_back({setting_of(*lineup), {lineup}, documents_of(*lineup)});
  }
  std::vector<Board> boards;
  for (const Group& group : groups) {
    Board board;
    board.task = group.setting.task;
    board.windowing = group.setting.windowing;
    board.start = group.setting.start;
    board.lineups = group.lineups;
    fill(board, collection, seed);
    boards.push_back(std::move(board));
  }
  std::stable_sort(boards.begin(), boards.end(), [](const Board& a, const Board& b) {
    return a.lineups.size() * a.documents.size() > b.lineups.size() * b.documents.size();
  });
  return boards;
}

std::vector<const DocumentScore*> scores_on(const Board& board, std::size_t lineup) {
  std::unordered_map<std::uint32_t, const DocumentScore*> by_document;
  for (const DocumentScore& score : board.lineups[lineup]->scores) by_document[score.document] = &score;
  std::vector<const DocumentScore*> scores;
  for (const std::uint32_t document : board.documents) scores.push_back(by_document.at(document));
  return scores;
}

Table leaderboard_table(std::span<const Board> boards) {
  Table table;
  table.columns = {{"rank", "rank"},
                   {"best rank", "best_rank", true, true},
                   {"worst rank", "worst_rank", true, true},
                   {"model", "model", false, false},
                   {"ties", "tie_group", false, false},
                   {"task", "task", false, false},
                   {"window", "window", false, false},
                   {"start", "start", false, true},
                   {"parameters", "parameters"},
                   {"mode", "mode", false, false},
                   {"docs", "documents"},
                   {"bits/byte", "bits_per_byte"},
                   {"95 %", "interval_95"},
                   {"low", "bits_per_byte_low", true, true},
                   {"high", "bits_per_byte_high", true, true},
                   {"rate %", "compression_rate_percent"},
                   {"mean of sources", "bits_per_byte_macro"},
                   {"low", "bits_per_byte_macro_low", true, true},
                   {"high", "bits_per_byte_macro_high", true, true},
                   {"bytes", "bytes", true, true},
                   {"failed", "failed", true, true},
                   {"digest", "model_digest", false, true}};
  const auto end = [](const std::optional<Interval>& interval, bool low) {
    return interval ? number(low ? interval->low : interval->high, 4) : Cell{kNoFigure, "null"};
  };
  bool several_sources = false, ties = false, few = false;
  for (const Board& board : boards) {
    several_sources = several_sources || board.sources.size() > 1;
    for (std::size_t i = 0; i < board.lineups.size(); ++i) {
      const LineUp& lineup = *board.lineups[i];
      const ModelFigures& figures = board.figures.models[i];
      ties = ties || !figures.group.empty();
      few = few || !figures.pooled.interval;
      const std::string ranks = figures.best_rank == figures.worst_rank
                                    ? fmt::format("{}", figures.best_rank)
                                    : fmt::format("{}–{}", figures.best_rank, figures.worst_rank);
      table.rows.push_back({{figures.group.empty() ? kNoFigure : ranks, std::to_string(i + 1)},
                            {"", std::to_string(figures.best_rank)},
                            {"", std::to_string(figures.worst_rank)},
                            {lineup.name, ""},
                            {figures.group, ""},
                            {board.task, ""},
                            {board.windowing, ""},
                            {board.start, ""},
                            lineup.model.parameters > 0
                                ? Cell{short_number(static_cast<double>(lineup.model.parameters)),
                                       std::to_string(lineup.model.parameters)}
                                : Cell{kNoFigure, "null"},
                            {lineup.mode.empty() ? kNoFigure : lineup.mode, ""},
                            count(board.documents.size()),
                            number(figures.pooled.value, 4),
                            {interval_text(figures.pooled.interval, 4), ""},
                            end(figures.pooled.interval, true),
                            end(figures.pooled.interval, false),
                            number(figures.pooled.value * kPercentPerBit, 2),
                            number(figures.macro.value, 4),
                            end(figures.macro.interval, true),
                            end(figures.macro.interval, false),
                            count(static_cast<std::uint64_t>(board.total_bytes())),
                            Cell{std::to_string(lineup.failed), std::to_string(lineup.failed)},
                            {lineup.model.digest, ""}});
    }
  }
  const auto same = [&](std::size_t column) {
    return std::all_of(table.rows.begin(), table.rows.end(),
                       [&](const auto& cells) { return cells[column].text == table.rows[0][column].text; });
  };
  for (const std::size_t c : {5u, 6u, 10u}) table.columns[c].machine_only = same(c);
  table.columns[16].machine_only = !several_sources;
  if (ties) {
    table.notes.push_back(
        "rank: with simultaneous 95 % confidence; models that share a letter (ties) are not told apart by "
        "these texts");
  }
  if (few)
    table.notes.push_back(fmt::format("–: fewer than {} documents in a source", kMinDocumentsForInterval));
  return table;
}

Table source_table(std::span<const Board> boards) {
  Table table;
  table.columns = {{"model", "model", false, false},
                   {"task", "task", false, true},
                   {"window", "window", false, true},
                   {"source", "source", false, false},
                   {"docs", "documents"},
                   {"bits/byte", "bits_per_byte"},
                   {"95 %", "interval_95"},
                   {"low", "bits_per_byte_low", true, true},
                   {"high", "bits_per_byte_high", true, true},
                   {"rate %", "compression_rate_percent"}};
  for (const Board& board : boards) {
    for (std::size_t s = 0; s < board.sources.size(); ++s) {
      for (std::size_t i = 0; i < board.lineups.size(); ++i) {
        const Estimate& bits = board.figures.models[i].by_source[s];
        table.rows.push_back({{board.lineups[i]->name, ""},
                              {board.task, ""},
                              {board.windowing, ""},
                              {board.sources[s], ""},
                              count(bits.documents),
                              number(bits.value, 4),
                              {interval_text(bits.interval, 4), ""},
                              bits.interval ? number(bits.interval->low, 4) : Cell{kNoFigure, "null"},
                              bits.interval ? number(bits.interval->high, 4) : Cell{kNoFigure, "null"},
                              number(bits.value * kPercentPerBit, 2)});
      }
    }
  }
  return table;
}

}  // namespace deciban
