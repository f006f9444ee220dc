#include "reports/record.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "reports/record_line.h"

namespace deciban {
namespace {

using nlohmann::json;

std::string json_string(std::string_view text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

// Shortest decimal that reads back to the same double; always with a point or an exponent, so that -0.0 stays
// a double.
std::string number(const Record& record, std::string_view field, double value) {
  if (!std::isfinite(value)) {
    throw std::runtime_error(fmt::format("record of document {} ({}, {}): {} is {}, which no record may hold",
                                         record.document, record.model, record.task, field, value));
  }
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

class Fields {
 public:
  explicit Fields(const json& object) : object_(object) {}

  const json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  const json& at(const char* name) const {
    const json* value = find(name);
    if (!value) throw std::runtime_error(fmt::format("the field `{}` is missing", name));
    return *value;
  }
  std::string text(const char* name) const { return text_of(name, at(name)); }
  double number(const char* name) const { return number_of(name, at(name)); }
  std::uint64_t count(const char* name) const {
    const json& value = at(name);
    if (!value.is_number_unsigned()) wrong(name, value, "a count");
    return value.get<std::uint64_t>();
  }
  bool truth(const char* name) const {
    const json& value = at(name);
    if (!value.is_boolean()) wrong(name, value, "true or false");
    return value.get<bool>();
  }

  static std::string text_of(std::string_view name, const json& value) {
    if (!value.is_string()) wrong(name, value, "a string");
    return value.get<std::string>();
  }
  static double number_of(std::string_view name, const json& value) {
    if (!value.is_number()) wrong(name, value, "a number");
    return value.get<double>();
  }
  [[noreturn]] static void wrong(std::string_view name, const json& value, std::string_view wanted) {
    throw std::runtime_error(
        fmt::format("the field `{}` is {}, not {}", name, value.dump().substr(0, 60), wanted));
  }

 private:
  const json& object_;
};

}  // namespace

std::string to_json_line(const Record& record) {
  std::string line =
      fmt::format(R"({{"key":{},"model":{},"task":{},"windowing":{},"corpus":{},"document":{},"status":{})",
                  json_string(record.key), json_string(record.model), json_string(record.task),
                  json_string(record.windowing), json_string(record.corpus), json_string(record.document),
                  json_string(record.status));
  if (!record.reason.empty()) line += fmt::format(R"(,"reason":{})", json_string(record.reason));
  line += fmt::format(
      R"(,"tokens":{},"scored_tokens":{},"bytes":{},"characters":{},"unscored_bytes":{},"lossy_bytes":{})"
      R"(,"logprob":{},"seconds":{})",
      record.tokens, record.scored_tokens, record.bytes, record.characters, record.unscored_bytes,
      record.lossy_bytes, number(record, "logprob", record.logprob),
      number(record, "seconds", record.seconds));
  if (!record.labels.empty()) {
    const char* separator = R"(,"labels":{)";
    for (const auto& [name, value] : record.labels) {
      line += fmt::format("{}{}:{}", std::exchange(separator, ","), json_string(name), json_string(value));
    }
    line += '}';
  }
  if (!record.queries.empty()) {
    const char* separator = R"(,"queries":[)";
    for (const QueryResult& query : record.queries) {
      line += fmt::format(R"({}{{"logprob":{},"greedy":{},"tokens":{},"bytes":{}}})",
                          std::exchange(separator, ","), number(record, "queries.logprob", query.logprob),
                          query.greedy, query.tokens, query.bytes);
    }
    line += ']';
  }
  if (!record.measures.empty()) {
    const char* separator = R"(,"measures":{)";
    for (const auto& [name, measure] : record.measures) {
      line += fmt::format(R"({}{}:{{"sum":{},"weight":{}}})", std::exchange(separator, ","),
                          json_string(name), number(record, "measures." + name, measure.sum),
                          number(record, "measures." + name, measure.weight));
    }
    line += '}';
  }
  return line + '}';
}

Record record_from_json(std::string_view line) {
  if (std::optional<Record> plain = plain_record(line)) return std::move(*plain);
  json object;
  try {
    object = json::parse(line);
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("not valid JSON: {}", error.what()));
  }
  if (!object.is_object()) {
    throw std::runtime_error(
        fmt::format("not a record: it is of type {}, not an object", object.type_name()));
  }
  const Fields fields(object);
  Record record;
  record.key = fields.text("key");
  record.model = fields.text("model");
  record.task = fields.text("task");
  record.windowing = fields.text("windowing");
  record.corpus = fields.text("corpus");
  record.document = fields.text("document");
  record.status = fields.text("status");
  if (record.status != "ok" && record.status != "failed") {
    Fields::wrong("status", object["status"], R"("ok" or "failed")");
  }
  if (fields.find("reason")) record.reason = fields.text("reason");
  record.tokens = fields.count("tokens");
  record.scored_tokens = fields.count("scored_tokens");
  record.bytes = fields.count("bytes");
  record.characters = fields.count("characters");
  record.unscored_bytes = fields.count("unscored_bytes");
  record.lossy_bytes = fields.count("lossy_bytes");
  record.logprob = fields.number("logprob");
  record.seconds = fields.number("seconds");
  if (const json* labels = fields.find("labels")) {
    if (!labels->is_object()) Fields::wrong("labels", *labels, "an object");
    for (const auto& [name, value] : labels->items()) {
      record.labels[name] = Fields::text_of("labels." + name, value);
    }
  }
  if (const json* queries = fields.find("queries")) {
    if (!queries->is_array()) Fields::wrong("queries", *queries, "an array");
    for (const json& value : *queries) {
      if (!value.is_object()) Fields::wrong("queries", value, "an object");
      const Fields query(value);
      record.queries.push_back(
          {query.number("logprob"), query.truth("greedy"), query.count("tokens"), query.count("bytes")});
    }
  }
  if (const json* measures = fields.find("measures")) {
    if (!measures->is_object()) Fields::wrong("measures", *measures, "an object");
    for (const auto& [name, value] : measures->items()) {
      if (!value.is_object()) Fields::wrong("measures." + name, value, "an object");
      const Fields measure(value);
      record.measures[name] = {measure.number("sum"), measure.number("weight")};
    }
  }
  return record;
}

std::string record_key(const RunIdentity& identity, std::string_view document_digest) {
  // Every field is preceded by its length, so that no two identities give the same bytes.
  std::string bytes;
  const auto add = [&bytes](std::string_view field) { bytes += fmt::format("{}:{}", field.size(), field); };
  add("deciban record 1");
  add(identity.model_digest);
  add(identity.tokenizer_digest);
  add(identity.weight_format);
  add(identity.activation_format);
  add(identity.kernels);
  add(fmt::format("{}", identity.numerics_version));
  add(identity.task);
  add(identity.task_version);
  add(identity.windowing);
  add(identity.start_token);
  add(document_digest);

  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL failed to compute a SHA-256");
  }
  std::string key;
  for (unsigned i = 0; i < 16; ++i) key += fmt::format("{:02x}", digest[i]);
  return key;
}

}  // namespace deciban
