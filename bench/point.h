// One point of a sweep: a model, a length and a batch, measured in a process of its own, so that its memory
// is what this point took and nothing else (VmHWM never falls).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "engine/lm.h"
#include "reports/cost.h"

namespace deciban {

struct PointRequest {
  std::string spec;  // of open_model()
  ModelOptions options;
  std::size_t length = 0, batch = 1;
  std::size_t generate = 0;  // if length <= generate, generating the first `length` tokens is timed too
  SamplingGoal goal;
  std::string machine;  // its name, for the record
};
std::string to_json_line(const PointRequest& request);
PointRequest request_from_json(const std::string& line);

// What the point's record is found by: SHA-256 of the model (its spec, and size and time of change of a file
// or folder of that name), of what it is computed with and on, of the question, and of this program's
// version.  No goals, since they only change how well the question is answered.
std::string point_key(const PointRequest& request);

// Opens the model and measures.  Never throws for what is the point's own: a length beyond the model's limit,
// or memory that does not suffice, gives a marked point.  `open` is open_model() but in tests.
using OpenModel = std::function<std::unique_ptr<LanguageModel>(const std::string&, const ModelOptions&)>;
CostPoint measure_point(const PointRequest& request, const OpenModel& open = open_model);

// `count` greedy steps of the batch from the tokens `next` on (which become the last ones), each with its
// seconds.  `best` is as long as `next`.
std::vector<double> timed_steps(Batch& batch, std::size_t count, std::vector<Token>& next,
                                std::vector<TokenScore>& best);

// The request's part of a point: key, spec, length, batch, machine; status "failed" until it is measured.
CostPoint unmeasured_point(const PointRequest& request);

}  // namespace deciban
