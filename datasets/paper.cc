#include "datasets/paper.h"

#include <exception>
#include <string>

#include "datasets/archive.h"
#include "datasets/latex_input.h"
#include "datasets/latex_text.h"

namespace deciban {
namespace {

bool is_placeholder(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t\r\n");
  return from != std::string_view::npos && text.substr(from).starts_with("%auto-ignore");
}

}  // namespace

Paper unusable_paper(std::string reason) {
  Paper paper;
  paper.reason = std::move(reason);
  return paper;
}

Paper paper_from_source(std::string_view eprint, const PaperOptions& options) {
  if (eprint.empty()) return unusable_paper("the source is empty");
  if (eprint.starts_with("%PDF")) return unusable_paper("PDF only: there is no source");
  try {
    ArchiveContents contents = read_archive(eprint, LatexSource::is_wanted);
    const std::size_t links = contents.links, others = contents.others;
    const LatexSource source(std::move(contents));
    for (const LatexSource::File& file : source.files()) {
      if (is_placeholder(file.text) && source.files().size() == 1)
        return unusable_paper("withdrawn: the source is a placeholder (%auto-ignore)");
    }
    const auto main = source.main();
    if (!main) {
      return unusable_paper("no TeX file in the source (" + std::to_string(others) + " other files, " +
                            std::to_string(links) + " links)");
    }
    if (source.files()[*main].text.starts_with("%PDF")) return unusable_paper("PDF only: there is no source");
    return paper_from_latex(source, *main, options);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return unusable_paper(error.what());
  }
}

}  // namespace deciban
