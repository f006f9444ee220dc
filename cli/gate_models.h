// deciban gate correctness and kl: are kernels right, and how far apart are two models or modes?
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/gate.h"

namespace deciban {

struct GateCorrectnessOptions {
  std::string cases;             // regular expression over operations' cases
  std::vector<std::string> isa;  // kernel tables; empty: all
  std::string device = "cpu";
  std::vector<std::string> modes;  // of the models; empty: all that the device computes in
  std::string models;              // folder of the demo; empty: found beside the program
  bool no_operations = false, no_models = false, store = false, deterministic = false;
  GateOutput output;
};
int gate_correctness(const GateCorrectnessOptions& options, const Console& console);

struct GateKlOptions {
  std::string reference, other;  // models; the other may be left out: the reference in another mode
  std::vector<std::string> corpora;
  std::string reference_mode = "f32", mode = "auto", device = "auto", reference_device = "auto",
              tokenizer = "auto";
  std::string window = "whole", start = "bos";
  std::size_t limit = 0;  // documents of each corpus; 0: all
  int threads = 0;
  double max_mean = 0, max_p99 = 0, min_agreement = 0;  // 0: no bar; nats, nats, per cent
  GateOutput output;
};
int gate_kl(const GateKlOptions& options, const Console& console);

}  // namespace deciban
