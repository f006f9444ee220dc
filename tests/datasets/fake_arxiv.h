// An arXiv of invented papers on the loopback interface: search API, OAI-PMH, HTML pages and sources.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "datasets/arxiv.h"
#include "tests/datasets/loopback.h"

namespace deciban {

struct FakePaper {
  std::string id, category, published;  // date and time
  std::string title, abstract, body, comment;
  std::string licence = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/";
  int version = 1;
  bool html = true, pdf_only = false;
  std::vector<std::string> cross_lists = {};
};

class FakeArxiv {
 public:
  std::vector<FakePaper> papers;
  std::size_t largest_page = 2000;  // pages asked for that are larger get an error 500

  explicit FakeArxiv(Loopback& server) : server_(server) {
    auto& routes = server.routes();
    routes.Get("/api/query", [this](const auto& request, auto& response) { list(request, response); });
    routes.Get("/oai", [this](const auto& request, auto& response) { record(request, response); });
    routes.Get(R"(/html/(.*)v(\d+))",
               [this](const auto& request, auto& response) { page(request, response); });
    routes.Get(R"(/src/(.*)v(\d+))",
               [this](const auto& request, auto& response) { source(request, response); });
  }
  ArxivServers servers() const {
    return {server_.url("/api/query"), server_.url("/oai"), server_.url("/html"), server_.url("/src")};
  }

  // Papers of one category, one every `hours` from the day on, each with a text of its own.
  void add(const std::string& category, std::size_t count, const std::string& day = "2025-01-01",
           int hours = 5) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t number = papers.size();
      FakePaper paper;
      paper.id = fmt::format("2501.{:05}", number);
      paper.category = category;
      const auto at = parse_date(day) + std::chrono::hours(hours * static_cast<int>(i));
      const auto date = std::chrono::floor<std::chrono::days>(at);
      paper.published = fmt::format("{}T{:02}:30:15Z", iso_date(date), (at - date).count());
      paper.title = fmt::format("Paper {} of {}", number, category);
      paper.abstract = fmt::format("We study question {}.", number);
      for (std::size_t k = 0; k < 120; ++k)
        paper.body +=
            fmt::format("{}word{}", k ? " " : "", (number * 7919 + k * k * 104729 + k * number) % 5003);
      paper.version = static_cast<int>(number % 3) + 1;
      if (number % 4 == 0) paper.licence = "http://creativecommons.org/licenses/by/4.0/";
      papers.push_back(std::move(paper));
    }
  }

 private:
  static std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text) result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
    return result;
  }
  const FakePaper* find(const std::string& id) const {
    for (const FakePaper& paper : papers) {
      if (paper.id == id) return &paper;
    }
    return nullptr;
  }

  void list(const httplib::Request& request, httplib::Response& response) const {
    const std::string query = request.get_param_value("search_query");
    const std::size_t start = std::stoul(request.get_param_value("start"));
    const std::size_t size = std::stoul(request.get_param_value("max_results"));
    if (size > largest_page) {
      response.status = 500;
      return;
    }
    // "cat:cs.CL AND submittedDate:[202501010000 TO 202502010000]"
    const std::size_t space = query.find(' '), open = query.find('[');
    std::string category = query.substr(4, space - 4);
    const bool all = category.ends_with("*");
    if (all) category.pop_back();
    const std::string from = query.substr(open + 1, 12), to = query.substr(open + 17, 12);
    std::vector<const FakePaper*> found;
    for (const FakePaper& paper : papers) {
      std::string minute;
      for (const char c : paper.published.substr(0, 16))
        minute += c >= '0' && c <= '9' ? std::string(1, c) : "";
      const auto named = [&](const std::string& name) {
        return all ? name.starts_with(category) : name == category;
      };
      if ((named(paper.category) || std::any_of(paper.cross_lists.begin(), paper.cross_lists.end(), named)) &&
          minute >= from && minute <= to)
        found.push_back(&paper);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const FakePaper* a, const FakePaper* b) { return a->published < b->published; });
    std::string xml = fmt::format(
        "<?xml version='1.0' encoding='UTF-8'?>\n<feed "
        "xmlns:opensearch=\"http://a9.com/-/spec/opensearch/1.1/\" "
        "xmlns:arxiv=\"http://arxiv.org/schemas/atom\" xmlns=\"http://www.w3.org/2005/Atom\"><title>q</title>"
        "<opensearch:itemsPerPage>{}</opensearch:itemsPerPage><opensearch:totalResults>{}</"
        "opensearch:totalResults>"
        "<opensearch:startIndex>{}</opensearch:startIndex>",
        size, found.size(), start);
    for (std::size_t i = start; i < std::min(found.size(), start + size); ++i) {
      const FakePaper& paper = *found[i];
      xml += fmt::format(
          "<entry><id>http://arxiv.org/abs/{}v{}</id><title>{}</title><updated>{}</updated><summary>{}</"
          "summary>"
          "<category term=\"{}\"/>",
          paper.id, paper.version, escaped(paper.title), paper.published, escaped(paper.abstract),
          paper.category);
      for (const std::string& cross : paper.cross_lists) xml += fmt::format("<category term=\"{}\"/>", cross);
      xml += fmt::format("<published>{}</published>", paper.published);
      if (!paper.comment.empty())
        xml += fmt::format("<arxiv:comment>{}</arxiv:comment>", escaped(paper.comment));
      xml += fmt::format("<arxiv:primary_category term=\"{}\"/></entry>", paper.category);
    }
    response.set_content(xml + "</feed>", "application/atom+xml");
  }

  void record(const httplib::Request& request, httplib::Response& response) const {
    const std::string id = request.get_param_value("identifier").substr(14);
    const FakePaper* paper = find(id);
    std::string body =
        paper
            ? fmt::format(
                  "<GetRecord><record><header><identifier>oai:arXiv.org:{}</identifier></header><metadata>"
                  "<arXiv xmlns=\"http://arxiv.org/OAI/arXiv/\"><id>{}</id><created>{}</created><categories>"
                  "{}</categories><license>{}</license></arXiv></metadata></record></GetRecord>",
                  id, id, paper->published.substr(0, 10), paper->category, paper->licence)
            : std::string("<error code=\"idDoesNotExist\">no such record</error>");
    response.set_content("<?xml version=\"1.0\"?><OAI-PMH xmlns=\"http://www.openarchives.org/OAI/2.0/\">" +
                             body + "</OAI-PMH>",
                         "text/xml");
  }

  void page(const httplib::Request& request, httplib::Response& response) const {
    const FakePaper* paper = find(request.matches[1]);
    if (!paper || !paper->html) {
      response.status = 404;
      return;
    }
    const std::string half = paper->body.substr(0, paper->body.size() / 2);
    response.set_content(
        fmt::format(
            "<!DOCTYPE html><html><body><div class=\"ltx_page_main\"><div class=\"ltx_page_content\">"
            "<article class=\"ltx_document\"><h1 class=\"ltx_title ltx_title_document\">{}</h1>"
            "<div class=\"ltx_abstract\"><h6 class=\"ltx_title ltx_title_abstract\">Abstract</h6>"
            "<p class=\"ltx_p\">{}</p></div>"
            "<section class=\"ltx_section\" id=\"S1\"><h2 class=\"ltx_title ltx_title_section\">"
            "<span class=\"ltx_tag ltx_tag_section\">1 </span>Introduction</h2><div class=\"ltx_para\">"
            "<p class=\"ltx_p\">{}</p></div></section>"
            "<section class=\"ltx_section\" id=\"S2\"><h2 class=\"ltx_title ltx_title_section\">"
            "<span class=\"ltx_tag ltx_tag_section\">2 </span>Conclusion</h2><div class=\"ltx_para\">"
            "<p class=\"ltx_p\">{}</p></div></section></article></div></div></body></html>",
            escaped(paper->title), escaped(paper->abstract), half, paper->body.substr(half.size())),
        "text/html");
  }

  void source(const httplib::Request& request, httplib::Response& response) const {
    const FakePaper* paper = find(request.matches[1]);
    if (!paper) {
      response.status = 404;
    } else if (paper->pdf_only) {
      response.set_content("%PDF-1.7 …", "application/pdf");
    } else {
      response.set_content("SOURCE\n" + paper->body, "application/gzip");
    }
  }

  Loopback& server_;
};

// A reader for these papers alone: the words between the tags, and sources as they stand.
inline PaperReader fake_reader() {
  PaperReader reader;
  reader.from_html = [](std::string_view html, const PaperOptions&) {
    Paper paper;
    std::vector<std::string> parts;
    for (std::size_t at = 0; (at = html.find("<p class=\"ltx_p\">", at)) != std::string_view::npos; ++at) {
      const std::size_t begin = at + 17;
      parts.emplace_back(html.substr(begin, html.find("</p>", begin) - begin));
    }
    if (parts.size() != 3) {
      paper.reason = "no paper";
      return paper;
    }
    paper.abstract = parts[0];
    paper.sections = {{1, "Introduction", parts[1]}, {1, "Conclusion", parts[2]}};
    paper.conclusion = parts[2];
    return paper;
  };
  reader.from_source = [](std::string_view bytes, const PaperOptions&) {
    Paper paper;
    if (bytes.starts_with("SOURCE\n")) {
      paper.sections = {{1, "Introduction", std::string(bytes.substr(7))}};
    } else {
      paper.reason = "an archive of another kind";
    }
    return paper;
  };
  reader.text = [](const Paper& paper) {
    std::string text = paper.abstract;
    for (const PaperSection& section : paper.sections) text += "\n" + section.text;
    return text;
  };
  return reader;
}

}  // namespace deciban
