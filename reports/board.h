// A leaderboard: models that were scored alike on the same documents, with what follows from those alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "reports/collection.h"
#include "reports/panel.h"
#include "reports/table.h"

namespace deciban {

struct Board {
  std::string task, windowing, start;
  std::vector<const LineUp*> lineups;    // in order of bits per byte; compressors among them
  std::vector<std::uint32_t> documents;  // that all of them scored, by corpus; as Panel's
  std::vector<std::string> sources;      // names, as Panel's
  std::size_t left_out = 0;              // documents that not all of them scored
  Panel panel;
  PanelFigures figures;
  double total_bytes() const;
  std::string setting() const;  // "compression, window whole, after a start token"
};

// Line-ups of texts are grouped by task, window and start; one that has less than nine tenths of a group's
// documents gets a board of its own.  Compressors, which have no windows, join the boards of their documents.
// Largest board first.
std::vector<Board> make_boards(const Collection& collection, std::uint64_t seed = 1);

// The board as rows, for every format.
Table leaderboard_table(std::span<const Board> boards);

// A row for each model and source of each board.
Table source_table(std::span<const Board> boards);

// Scores of a line-up on the board's documents, in its order.
std::vector<const DocumentScore*> scores_on(const Board& board, std::size_t lineup);

}  // namespace deciban
