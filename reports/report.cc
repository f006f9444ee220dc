#include "reports/report.h"

#include <stdexcept>

#include "reports/page.h"
#include "reports/sections.h"

namespace deciban {

std::string report_page(const Collection& collection, const ReportOptions& options) {
  if (collection.lineups.empty() && collection.costs.empty() && collection.gates.empty())
    throw std::runtime_error("there are no records: nothing was scored, measured or gated");
  const std::vector<Board> boards = make_boards(collection, options.seed);
  const ReportInput input{collection, boards, options};
  Page page(options.title.empty() ? "deciban report" : options.title);
  summary_section(page, input);
  leaderboard_sections(page, input);
  cost_section(page, input);
  source_section(page, input);
  month_section(page, input);
  token_sections(page, input);
  difference_section(page, input);
  context_section(page, input);
  scaling_section(page, input);
  task_section(page, input);
  published_section(page, input);
  gate_section(page, input);
  provenance_section(page, input);
  method_section(page, input);
  return page.html();
}

}  // namespace deciban
