// Records of arXiv's OAI-PMH interface (metadataPrefix arXiv): the only place that names a paper's licence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct OaiRecord {
  std::string id;        // "2202.12139"
  bool deleted = false;  // then the rest is empty
  std::string created;   // of version 1, "2022-02-24"
  std::vector<std::string> categories;
  std::string comments;
  std::string licence;  // URL; empty if the record has none
};

struct OaiAnswer {
  std::vector<OaiRecord> records;
  std::string resumption_token;  // there is more; empty if there is not
  std::string error;             // "idDoesNotExist: …"; empty if there is none
};

// Throws std::runtime_error if the bytes are no OAI-PMH answer, or a record has no arXiv metadata.
OaiAnswer parse_oai(std::string_view xml);

}  // namespace deciban
