// One self-contained HTML page: title, contents, sections; no script, nothing loaded from anywhere.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/markup.h"
#include "reports/table.h"

namespace deciban {

class Page {
 public:
  explicit Page(const std::string& title);
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  Node header() { return header_; }
  // A section with its entry in the contents.  `id` is a word of ours.
  Node section(std::string_view id, std::string_view title);
  std::string html() const { return html_text(document_); }

 private:
  pugi::xml_document document_;
  Node header_, contents_, main_;
};

// A paragraph.
Node paragraph(Node parent, std::string_view text, std::string_view kind = "");
// A chart in both widths (the page's style shows one), with a sentence below it on how to read it.
Node figure(Node parent, std::string_view caption, const std::function<void(Node, double width)>& draw);

struct TableColumn {
  std::string title;
  bool number = true;
};
// A table that scrolls by itself where the screen is narrow; rows are added to the body that is returned.
Node table(Node parent, std::string_view caption, const std::vector<TableColumn>& columns);
// A table made for every format; columns for machines are left out.
Node put_table(Node parent, std::string_view caption, const Table& table);
Node number_cell(Node row, std::string_view text, std::string_view kind = "");
Node name_cell(Node row, std::string_view name, std::string_view kind = "");

// The page's style: one text, light and dark by preference, paper and narrow screens.
const char* page_style();

}  // namespace deciban
