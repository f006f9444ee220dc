#include "datasets/latex_input.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "datasets/paper_text.h"

namespace deciban {
namespace {

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return result;
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string ending_of(std::string_view path) {
  const std::string_view name = name_of(path);
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? "" : lower_case(name.substr(dot + 1));
}

bool is_readme(std::string_view path) { return name_of(path).starts_with("00README"); }

bool is_tex(std::string_view path) {
  const std::string ending = ending_of(path);
  return ending == "tex" || ending == "ltx" || ending == "latex" || ending.empty() || ending == "txt";
}

// Whether `word` stands in the text outside comments.
bool has(std::string_view text, std::string_view word) {
  std::size_t line = 0;
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, line)) {
    const std::size_t newline = text.substr(line, at - line).rfind('\n');
    if (newline != std::string_view::npos) line += newline + 1;
    const std::string_view before = text.substr(line, at - line);
    const std::size_t percent = before.find('%');
    if (percent == std::string_view::npos || (percent > 0 && before[percent - 1] == '\\')) return true;
    line = text.find('\n', at);  // the rest of the line is a comment
    if (line == std::string_view::npos) return false;
  }
  return false;
}

bool is_document(std::string_view text) {
  return (has(text, "\\documentclass") || has(text, "\\documentstyle")) && has(text, "\\begin{document}");
}

// How much a complete document looks like the paper itself and not like a figure, a letter or a template.
int likeness(const LatexSource::File& file) {
  const std::string name = lower_case(name_of(file.path));
  int score = 0;
  for (const std::string_view usual :
       {"main.tex", "ms.tex", "paper.tex", "article.tex", "root.tex", "manuscript.tex"})
    if (name == usual) score += 2;
  if (file.path.find('/') == std::string::npos) score += 1;
  if (has(file.text, "\\title")) score += 3;
  if (has(file.text, "\\begin{abstract}") || has(file.text, "\\abstract")) score += 3;
  if (has(file.text, "\\section") || has(file.text, "\\input") || has(file.text, "\\include")) score += 3;
  if (has(file.text, "\\bibliography") || has(file.text, "thebibliography")) score += 2;
  for (const std::string_view other : {"{standalone}", "{beamer}", "{letter}", "{subfiles}", "{tikzposter}"})
    if (has(file.text.substr(0, 4000), other)) score -= 6;
  for (const std::string_view word : {"supp", "appendix", "old", "template", "response", "rebuttal", "cover"})
    if (name.find(word) != std::string::npos) score -= 3;
  return score;
}

// What \input, \include and \subfile name in a text.
std::vector<std::string> names_read_by(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view command : {"\\input", "\\include", "\\subfile"}) {
    for (std::size_t at = text.find(command); at != std::string_view::npos; at = text.find(command, at + 1)) {
      const std::string_view rest = text.substr(at + command.size(), 300);
      const std::size_t from = rest.find_first_not_of(" {");
      const std::size_t end = rest.find_first_of("}\n \\", from == std::string_view::npos ? 0 : from);
      if (from == std::string_view::npos || end == std::string_view::npos || from > 2) continue;
      names.emplace_back(rest.substr(from, end - from));
    }
  }
  return names;
}

}  // namespace

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

bool LatexSource::is_wanted(std::string_view path) {
  constexpr std::string_view kEndings[] = {"",    "tex", "ltx", "latex", "txt",  "sty", "inc",
                                           "def", "mac", "abs", "body",  "json", "xxx"};
  const std::string ending = ending_of(path);
  if (ending == "json" || ending == "xxx") return is_readme(path);
  return std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings);
}

LatexSource::LatexSource(ArchiveContents contents) {
  for (ArchiveMember& member : contents.members) {
    // Files without a telling name may be anything.
    if (member.bytes.find('\0') != std::string::npos) continue;
    const std::string path = member.path.empty() ? "main.tex" : std::move(member.path);
    by_path_.emplace(path, files_.size());
    by_lower_path_.emplace(lower_case(path), files_.size());
    files_.push_back({path, as_utf8(member.bytes)});
  }
}

std::optional<std::size_t> LatexSource::at(const std::string& path) const {
  if (const auto found = by_path_.find(path); found != by_path_.end()) return found->second;
  if (const auto found = by_lower_path_.find(lower_case(path)); found != by_lower_path_.end())
    return found->second;
  return std::nullopt;
}

std::optional<std::size_t> LatexSource::named_by_readme() const {
  for (const File& file : files_) {
    if (!is_readme(file.path)) continue;
    if (ending_of(file.path) == "json") {
      const auto json = nlohmann::json::parse(file.text, nullptr, false);
      if (!json.is_object() || !json.contains("sources") || !json["sources"].is_array()) continue;
      for (const auto& source : json["sources"]) {
        if (!source.is_object() || !source.contains("filename") || !source["filename"].is_string()) continue;
        const auto usage = source.find("usage");
        if (usage != source.end() && *usage != "toplevel") continue;
        if (const auto found = at(source["filename"].get<std::string>())) return found;
      }
      continue;
    }
    // Lines such as "paper.tex toplevelfile".
    const std::size_t word = file.text.find("toplevelfile");
    if (word == std::string::npos) continue;
    const std::size_t line = file.text.rfind('\n', word);
    const std::size_t from = line == std::string::npos ? 0 : line + 1;
    if (const auto found = at(one_line(std::string_view(file.text).substr(from, word - from)))) return found;
  }
  return std::nullopt;
}

std::optional<std::size_t> LatexSource::main() const {
  if (const auto named = named_by_readme()) return named;
  std::unordered_set<std::size_t> read;
  std::vector<std::size_t> documents;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    if (!is_tex(files_[i].path)) continue;
    if (is_document(files_[i].text)) documents.push_back(i);
    for (const std::string& name : names_read_by(files_[i].text)) {
      if (const auto found = find(name, folder_of(files_[i].path)); found && *found != i) read.insert(*found);
    }
  }
  std::optional<std::size_t> best;
  int best_score = 0;
  for (const std::size_t i : documents) {
    const int score = likeness(files_[i]) - (read.contains(i) ? 6 : 0);
    if (!best || score > best_score ||
        (score == best_score && files_[i].text.size() > files_[*best].text.size())) {
      best = i;
      best_score = score;
    }
  }
  if (best) return best;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    if (!is_tex(files_[i].path) || is_readme(files_[i].path)) continue;
    if (!best || files_[i].text.size() > files_[*best].text.size()) best = i;
  }
  return best;
}

std::optional<std::size_t> LatexSource::find(std::string_view name, std::string_view folder) const {
  std::string path = one_line(name);
  while (path.starts_with("./")) path.erase(0, 2);
  if (path.size() >= 2 && path.front() == '"' && path.back() == '"') path = path.substr(1, path.size() - 2);
  if (path.empty()) return std::nullopt;
  // "../x" and the like, resolved within the archive.
  std::vector<std::string> tries{path};
  if (!folder.empty()) tries.push_back(std::string(folder) + "/" + path);
  for (const std::string& attempt : tries) {
    std::string clean;
    for (std::size_t from = 0; from <= attempt.size();) {
      const std::size_t end = std::min(attempt.find('/', from), attempt.size());
      const std::string_view part = std::string_view(attempt).substr(from, end - from);
      from = end + 1;
      if (part.empty() || part == ".") continue;
      if (part == "..") {
        clean = folder_of(clean);
        continue;
      }
      if (!clean.empty()) clean += '/';
      clean += part;
    }
    if (const auto found = at(clean + ".tex")) return found;
    if (const auto found = at(clean)) return found;
  }
  return std::nullopt;
}

std::optional<std::size_t> LatexSource::find_style(std::string_view name) const {
  const std::string path = one_line(name);
  return path.empty() ? std::nullopt : at(path + ".sty");
}

}  // namespace deciban
