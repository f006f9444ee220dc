// deciban serve: the engine behind the HTTP interface that other tools speak, so that lm-eval and the like
// can measure its models.
#pragma once

#include <cstddef>
#include <string>

#include "cli/console.h"
#include "engine/lm.h"

namespace deciban {

struct ServeOptions {
  std::string model;
  ModelOptions how;
  std::string name;  // of the model in replies; empty: its own
  std::string host = "127.0.0.1";
  int port = 8000;            // 0: a free one
  bool token = false;         // ask for the token in DECIBAN_SERVE_TOKEN
  std::size_t queue = 64;     // most requests that wait
  std::size_t max_body = 32;  // MiB
  std::size_t lanes = 8;      // texts continued at a time
};

// Serves until interrupted.  Returns the exit code.  Throws std::invalid_argument for options that make no
// sense, std::runtime_error for a model that cannot be opened and an address that cannot be had.
int serve(const ServeOptions& options, const Console& console);

}  // namespace deciban
