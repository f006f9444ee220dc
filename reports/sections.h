// The report's sections, in the order of the page.  Each appears only where the records hold what it shows.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "reports/board.h"
#include "reports/page.h"
#include "reports/report.h"

namespace deciban {

struct ReportInput {
  const Collection& collection;
  std::span<const Board> boards;  // may be empty: only tasks were run
  const ReportOptions& options;
};

void summary_section(Page& page, const ReportInput& input);       // the page's header
void leaderboard_sections(Page& page, const ReportInput& input);  // one a board
void cost_section(Page& page, const ReportInput& input);          // bits per byte against what a model costs
void source_section(Page& page, const ReportInput& input);
void month_section(Page& page, const ReportInput& input);
void difference_section(Page& page, const ReportInput& input);  // document by document
void token_sections(Page& page, const ReportInput& input);      // position in the document; surprise
void scaling_section(Page& page, const ReportInput& input);     // costs against length; laws; crossovers
void context_section(Page& page, const ReportInput& input);     // what length buys; recall
void gate_section(Page& page, const ReportInput& input);  // gates that were run; how far models are apart
void task_section(Page& page, const ReportInput& input);
void published_section(Page& page, const ReportInput& input);
void provenance_section(Page& page, const ReportInput& input);  // runs, machines, models, texts, licences
void method_section(Page& page, const ReportInput& input);

// The models of a board that are no compressors, by place.
std::vector<std::size_t> models_of(const Board& board);
// "rwkv7, rwkv6 and rwkv5", at most `most` of them by name.
std::string listed(const std::vector<std::string>& names, std::size_t most = 4);

}  // namespace deciban
