#include "reports/gate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <pugixml.hpp>
#include <sstream>

namespace deciban {
namespace {

using Outcome = GateCheck::Outcome;

std::string show_time(double seconds) {
  if (seconds < 1e-6) return fmt::format("{:.1f} ns", seconds * 1e9);
  if (seconds < 1e-3) return fmt::format("{:.2f} µs", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string percent(double ratio) { return fmt::format("{:+.1f} %", 100 * (ratio - 1)); }

std::string interval_words(const SpeedResult& r) {
  return r.interval ? fmt::format("{} … {}", percent(r.interval->low), percent(r.interval->high)) : "–";
}

// What may not stand in a workflow command's text, and, stricter, in its properties.
std::string escaped(const std::string& text, bool property) {
  std::string out;
  for (const char c : text) {
    if (c == '%') {
      out += "%25";
    } else if (c == '\n') {
      out += "%0A";
    } else if (c == '\r') {
      out += "%0D";
    } else if (property && c == ':') {
      out += "%3A";
    } else if (property && c == ',') {
      out += "%2C";
    } else {
      out += c;
    }
  }
  return out;
}

// XML has no way to write most control characters.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = ' ';
  }
  return text;
}

struct StringWriter final : pugi::xml_writer {
  std::string text;
  void write(const void* data, std::size_t size) override {
    text.append(static_cast<const char*>(data), size);
  }
};

Cell number(const std::string& text, double value) { return {text, fmt::format("{}", value)}; }

}  // namespace

std::vector<GateCheck> checks_of(const std::vector<SpeedResult>& results) {
  std::vector<GateCheck> checks;
  for (const SpeedResult& r : results) {
    GateCheck check{"speed", r.name, Outcome::passed, ""};
    if (r.verdict == SpeedVerdict::slower) check.outcome = Outcome::failed;
    if (r.verdict == SpeedVerdict::unclear) check.outcome = Outcome::unclear;
    check.message =
        fmt::format("{}: {} (95 %: {}), {} -> {}, p = {:.2g} that it is not beyond {:.0f} %", name(r.verdict),
                    percent(r.ratio), interval_words(r), show_time(r.before), show_time(r.after),
                    r.verdict == SpeedVerdict::faster ? r.p_faster : r.p_slower, 100 * r.effect);
    if (!r.reason.empty()) check.message += "; " + r.reason;
    checks.push_back(std::move(check));
  }
  return checks;
}

GateCounts count(const std::vector<GateCheck>& checks) {
  GateCounts counts;
  for (const GateCheck& check : checks) {
    ++(check.outcome == Outcome::passed    ? counts.passed
       : check.outcome == Outcome::unclear ? counts.unclear
                                           : counts.failed);
  }
  return counts;
}

std::string in_words(const GateCounts& counts) {
  const std::size_t all = counts.passed + counts.unclear + counts.failed;
  std::string words = counts.failed > 0 ? fmt::format("{} of {} checks failed", counts.failed, all)
                                        : fmt::format("none of {} checks failed", all);
  if (counts.unclear > 0)
    words += fmt::format(", {} {} unclear", counts.unclear, counts.unclear == 1 ? "is" : "are");
  return words;
}

std::string to_junit(const std::vector<GateCheck>& checks, const std::string& suite) {
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "UTF-8";
  pugi::xml_node root = document.append_child("testsuites");
  const GateCounts all = count(checks);
  root.append_attribute("name") = suite.c_str();
  root.append_attribute("tests") = static_cast<unsigned long long>(checks.size());
  root.append_attribute("failures") = static_cast<unsigned long long>(all.failed);
  std::vector<std::string> groups;
  for (const GateCheck& check : checks) {
    if (std::find(groups.begin(), groups.end(), check.group) == groups.end()) groups.push_back(check.group);
  }
  for (const std::string& group : groups) {
    std::vector<GateCheck> own;
    std::copy_if(checks.begin(), checks.end(), std::back_inserter(own),
                 [&](const GateCheck& check) { return check.group == group; });
    const GateCounts counts = count(own);
    pugi::xml_node node = root.append_child("testsuite");
    node.append_attribute("name") = (suite + "." + group).c_str();
    node.append_attribute("tests") = static_cast<unsigned long long>(own.size());
    node.append_attribute("failures") = static_cast<unsigned long long>(counts.failed);
    node.append_attribute("skipped") = static_cast<unsigned long long>(counts.unclear);
    for (const GateCheck& check : own) {
      pugi::xml_node test = node.append_child("testcase");
      test.append_attribute("classname") = (suite + "." + group).c_str();
      test.append_attribute("name") = printable(check.name).c_str();
      const std::string message = printable(check.message);
      if (check.outcome == Outcome::failed) {
        test.append_child("failure").append_attribute("message") = message.c_str();
      } else if (check.outcome == Outcome::unclear) {
        test.append_child("skipped").append_attribute("message") = message.c_str();
      } else if (!message.empty()) {
        test.append_child("system-out").text() = message.c_str();
      }
    }
  }
  StringWriter writer;
  document.save(writer, " ");
  return writer.text;
}

void print_github_annotations(std::ostream& out, const std::vector<GateCheck>& checks,
                              const std::string& title) {
  for (const GateCheck& check : checks) {
    if (check.outcome != Outcome::failed) continue;
    out << fmt::format("::error title={}::{}: {}\n", escaped(title, true), escaped(check.name, false),
                       escaped(check.message, false));
  }
  out << fmt::format("::notice title={}::{}\n", escaped(title, true),
                     escaped(in_words(count(checks)), false));
}

std::string to_markdown(const std::vector<GateCheck>& checks, const std::string& title,
                        const std::vector<Table>& tables) {
  std::ostringstream out;
  const GateCounts counts = count(checks);
  out << fmt::format("### {} {}: {}\n\n",
                     counts.failed > 0    ? "❌"
                     : counts.unclear > 0 ? "❔"
                                          : "✅",
                     title, in_words(counts));
  for (const GateCheck& check : checks) {
    if (check.outcome == Outcome::failed) out << fmt::format("- `{}`: {}\n", check.name, check.message);
  }
  if (counts.failed > 0) out << "\n";
  for (const Table& table : tables) {
    print(out, table, TableFormat::markdown);
    out << "\n";
  }
  return out.str();
}

Table speed_table(const std::vector<SpeedResult>& results) {
  Table table;
  table.columns = {{"case", "case", false, false},         {"verdict", "verdict", false, false},
                   {"change", "ratio", true, false},       {"95 %", "interval", true, false},
                   {"old", "before_seconds", true, false}, {"new", "after_seconds", true, false},
                   {"n", "samples", true, false},          {"p slower", "p_slower", true, false},
                   {"p faster", "p_faster", true, false},  {"least effect", "least_effect", true, true},
                   {"low", "ratio_low", true, true},       {"high", "ratio_high", true, true},
                   {"why unclear", "reason", false, false}};
  std::vector<const SpeedResult*> order;
  for (const SpeedResult& r : results) order.push_back(&r);
  const auto rank = [](SpeedVerdict v) {
    return v == SpeedVerdict::slower ? 0 : v == SpeedVerdict::unclear ? 1 : v == SpeedVerdict::faster ? 2 : 3;
  };
  std::stable_sort(order.begin(), order.end(), [&](const SpeedResult* a, const SpeedResult* b) {
    if (rank(a->verdict) != rank(b->verdict)) return rank(a->verdict) < rank(b->verdict);
    return a->verdict != SpeedVerdict::same && a->ratio > b->ratio;
  });
  const bool reasons =
      std::any_of(results.begin(), results.end(), [](const SpeedResult& r) { return !r.reason.empty(); });
  if (!reasons) table.columns.back().machine_only = true;
  for (const SpeedResult* r : order) {
    const auto bound = [&](bool low) {
      return Cell{"", r->interval ? fmt::format("{}", low ? r->interval->low : r->interval->high) : "null"};
    };
    table.rows.push_back({{r->name, ""},
                          {std::string(name(r->verdict)), ""},
                          number(percent(r->ratio), r->ratio),
                          {interval_words(*r), ""},
                          number(show_time(r->before), r->before),
                          number(show_time(r->after), r->after),
                          number(fmt::format("{}", r->samples), static_cast<double>(r->samples)),
                          number(fmt::format("{:.2g}", r->p_slower), r->p_slower),
                          number(fmt::format("{:.2g}", r->p_faster), r->p_faster),
                          number(fmt::format("{:.0f} %", 100 * r->effect), r->effect),
                          bound(true),
                          bound(false),
                          {r->reason, ""}});
  }
  return table;
}

}  // namespace deciban
