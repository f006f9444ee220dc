#include "datasets/oai.h"

#include <fmt/format.h>

#include <sstream>
#include <stdexcept>

#include "datasets/xml_names.h"

namespace deciban {
namespace {

constexpr std::string_view kOai = "http://www.openarchives.org/OAI/2.0/";
constexpr std::string_view kArxivFormat = "http://arxiv.org/OAI/arXiv/";
constexpr std::string_view kPrefix = "oai:arXiv.org:";

OaiRecord record_of(const pugi::xml_node& node) {
  OaiRecord record;
  const pugi::xml_node header = child_of(node, kOai, "header");
  const std::string identifier = normal_text(child_of(header, kOai, "identifier"));
  if (!identifier.starts_with(kPrefix))
    throw std::runtime_error(fmt::format("a record's identifier is '{}', not one of arXiv's", identifier));
  record.id = identifier.substr(kPrefix.size());
  record.deleted = std::string_view(header.attribute("status").value()) == "deleted";
  if (record.deleted) return record;
  const pugi::xml_node paper = child_of(child_of(node, kOai, "metadata"), kArxivFormat, "arXiv");
  if (!paper)
    throw std::runtime_error(fmt::format("the record of {} has no metadata in the format arXiv", record.id));
  record.created = normal_text(child_of(paper, kArxivFormat, "created"));
  record.comments = normal_text(child_of(paper, kArxivFormat, "comments"));
  record.licence = normal_text(child_of(paper, kArxivFormat, "license"));
  std::istringstream words(normal_text(child_of(paper, kArxivFormat, "categories")));
  for (std::string word; words >> word;) record.categories.push_back(word);
  return record;
}

}  // namespace

OaiAnswer parse_oai(std::string_view xml) {
  pugi::xml_document document;
  parse_xml(xml, document);
  const pugi::xml_node root = document.document_element();
  if (!is_element(root, kOai, "OAI-PMH"))
    throw std::runtime_error(fmt::format("the answer is not of OAI-PMH: it begins with <{}>", root.name()));
  OaiAnswer answer;
  if (const pugi::xml_node error = child_of(root, kOai, "error"); error) {
    answer.error = fmt::format("{}: {}", error.attribute("code").value(), normal_text(error));
    return answer;
  }
  for (const char* verb : {"GetRecord", "ListRecords"}) {
    const pugi::xml_node list = child_of(root, kOai, verb);
    for (const pugi::xml_node& node : list.children()) {
      if (is_element(node, kOai, "record")) answer.records.push_back(record_of(node));
      if (is_element(node, kOai, "resumptionToken")) answer.resumption_token = normal_text(node);
    }
  }
  return answer;
}

}  // namespace deciban
