#include "reports/page.h"

#include "reports/display_text.h"

namespace deciban {

Page::Page(const std::string& title) {
  Node html = document_.append_child("html");
  put(html, "lang", "en");
  Node head = add(html, "head");
  put(add(head, "meta"), "charset", "utf-8");
  Node viewport = add(head, "meta");
  put(viewport, "name", "viewport");
  put(viewport, "content", "width=device-width, initial-scale=1");
  // Whatever a text in here should try, the browser loads and runs nothing.
  Node policy = add(head, "meta");
  put(policy, "http-equiv", "Content-Security-Policy");
  put(policy, "content", "default-src 'none'; style-src 'unsafe-inline'");
  Node schemes = add(head, "meta");
  put(schemes, "name", "color-scheme");
  put(schemes, "content", "light dark");
  add_text(head, "title", shorten_middle(display_text(title.substr(0, 2000)), 160));
  add(head, "style").append_child(pugi::node_pcdata).set_value(page_style());
  Node body = add(html, "body");
  header_ = add(body, "header");
  Node nav = add(body, "nav");
  put(nav, "aria-label", "Contents");
  contents_ = add(nav, "ol");
  main_ = add(body, "main");
}

Node Page::section(std::string_view id, std::string_view title) {
  Node link = add_text(add(contents_, "li"), "a", title);
  put(link, "href", "#" + std::string(id));
  Node node = add(main_, "section");
  put(node, "id", id);
  add_text(node, "h2", title);
  return node;
}

Node paragraph(Node parent, std::string_view text, std::string_view kind) {
  return add_text(parent, "p", text, kind);
}

Node figure(Node parent, std::string_view caption, const std::function<void(Node, double)>& draw) {
  Node node = add(parent, "figure");
  draw(add(node, "div", "wide"), 720);
  draw(add(node, "div", "narrow"), 340);
  add_text(node, "figcaption", caption);
  return node;
}

Node table(Node parent, std::string_view caption, const std::vector<TableColumn>& columns) {
  Node scroll = add(parent, "div", "scroll");
  put(scroll, "tabindex", "0");
  put(scroll, "role", "region");
  put(scroll, "aria-label", caption);
  constexpr std::size_t kMany = 9;  // columns, from which on they stand closer
  Node node = add(scroll, "table", columns.size() >= kMany ? "dense" : "");
  add_text(node, "caption", caption);
  Node row = add(add(node, "thead"), "tr");
  for (const TableColumn& column : columns) {
    Node cell = add(row, "th", column.number ? "n" : "");
    put(cell, "scope", "col");
    add_name(cell, column.title, 32);
  }
  return add(node, "tbody");
}

Node number_cell(Node row, std::string_view text, std::string_view kind) {
  // A minus as wide as the plus above it, as the charts have it.
  const bool negative =
      text.size() > 1 && text[0] == '-' && (text[1] == '.' || (text[1] >= '0' && text[1] <= '9'));
  return add_text(row, "td", negative ? "−" + std::string(text.substr(1)) : std::string(text),
                  kind.empty() ? "n" : "n " + std::string(kind));
}

Node name_cell(Node row, std::string_view name, std::string_view kind) {
  Node cell = add(row, "th", kind);
  put(cell, "scope", "row");
  add_name(cell, name);
  return cell;
}

Node put_table(Node parent, std::string_view caption, const Table& data) {
  std::vector<TableColumn> columns;
  for (const Column& column : data.columns) {
    if (!column.machine_only) columns.push_back({column.title, column.right});
  }
  if (data.rows.empty() || columns.empty()) return {};
  Node body = table(parent, caption, columns);
  for (const auto& cells : data.rows) {
    Node row = add(body, "tr");
    for (std::size_t c = 0; c < data.columns.size(); ++c) {
      if (data.columns[c].machine_only) continue;
      const std::string& text = c < cells.size() ? cells[c].text : "";
      if (data.columns[c].right) {
        number_cell(row, text);
      } else {
        add_name(add(row, "td"), text, 60);
      }
    }
  }
  for (const std::string& note : data.notes) paragraph(parent, note, "soft");
  return body;
}

}  // namespace deciban
