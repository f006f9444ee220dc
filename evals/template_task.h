// A task made of a task file: rows of a data set to requests, their scores to measures.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "evals/task.h"
#include "evals/task_spec.h"

namespace deciban {

// How many examples stand before a question, and where they are drawn from.
struct FewShot {
  std::size_t count = 0;
  const Corpus* pool = nullptr;  // rows in their file's order; needed where count > 0.  Outlives the task.
};

// A row as a question: what the requests and the judgement are made of.
struct Question {
  std::vector<std::string> contexts;       // one, or one a choice
  std::vector<std::string> continuations;  // one, or one a choice, without the delimiter
  std::size_t gold = 0;                    // the right choice
  std::vector<std::string> labels, answers;
  std::string target;         // what an example ends with
  std::string text, counted;  // of whole texts
};

class TemplateTask : public Task {
 public:
  // Throws std::invalid_argument if examples are wanted and there is no pool, or too small a one.
  TemplateTask(const TaskSpec& spec, TaskMode mode, FewShot shots = {});

  std::string name() const override { return spec_.name; }
  std::string version() const override { return rules_.version; }
  std::map<std::string, std::string> aggregations() const override;
  // Draws the examples of all documents, in their order.  In mode paper the corpus must be in
  // harness_order().
  void prepare(const Corpus& all, std::uint64_t seed) override;
  // Of the requests and what is right.
  std::string digest(const Corpus& corpus, std::size_t document) const override;
  // `cluster` where questions share a passage.
  std::map<std::string, std::string> labels(const Corpus& corpus, std::size_t document) const override;
  std::vector<Query> queries(const Corpus& corpus, std::size_t document) const override;
  Measures judge(const Corpus& corpus, std::size_t document,
                 std::span<const QueryScore> scores) const override;

  const TaskSpec& spec() const { return spec_; }
  const TaskRules& rules() const { return rules_; }
  std::size_t shots() const { return shots_.count; }
  // Throws std::runtime_error for a row that is none of this task.
  Question question(const Document& row) const;
  // Places of a document's examples in the pool, in the order they stand in.
  const std::vector<std::size_t>& examples(const Corpus& corpus, std::size_t document) const;

 private:
  nlohmann::json with_fields(const Document& row) const;
  const std::string& example(std::size_t in_pool) const;

  const TaskSpec& spec_;  // of the catalogue
  const TaskRules& rules_;
  const TaskMode mode_;
  const FewShot shots_;
  std::map<std::string, std::vector<std::vector<std::size_t>>> drawn_;  // by corpus digest, of each document
  mutable std::unordered_map<std::size_t, std::string> examples_;       // rendered ones, by place in the pool
};

// The order in which a mode takes the rows of a split: as they are, but in mode paper shuffled with the seed
// (42 in the original).
std::vector<std::size_t> harness_order(TaskMode mode, std::size_t rows, std::uint64_t seed);
// The seed that the harness has unless told otherwise: 1234, in mode paper 42.
std::uint64_t harness_seed(TaskMode mode);

}  // namespace deciban
