#include "cli/convert.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "cli/gate_models.h"
#include "engine/convert.h"

namespace deciban {

namespace fs = std::filesystem;

int convert(const ConvertOptions& options, const Console& console) {
  if (options.input.empty() || options.output.empty())
    throw std::invalid_argument("which model, and what is the new file called? Give both: IN OUT");
  if (options.format.empty())
    throw std::invalid_argument("which format? --format bf16, f16, int8, int4 or int4g64");
  if (fs::is_directory(options.output))
    throw std::invalid_argument(fmt::format("{} is a folder; give the new file's name", options.output));
  std::error_code ignored;
  if (fs::equivalent(options.input, options.output, ignored))
    throw std::invalid_argument(fmt::format("{} is the model itself; give another name", options.output));
  if (fs::exists(options.output) && !options.force)
    throw std::runtime_error(fmt::format("{} exists; --force overwrites it", options.output));
  const Conversion done = convert_rwkv(options.input, options.format, options.output);
  console.note(fmt::format("{}: {} with {} parameters, {:.1f} MB ({:.1f} before)", options.output,
                           done.family, done.parameters, static_cast<double>(done.bytes_after) / 1e6,
                           static_cast<double>(done.bytes_before) / 1e6));
  if (options.verify.empty()) return kDone;
  GateKlOptions kl;
  kl.reference = options.input;
  kl.other = options.output;
  kl.corpora = options.verify;
  kl.limit = options.limit;
  kl.threads = options.threads;
  kl.tokenizer = options.tokenizer;
  kl.device = kl.reference_device = "cpu";
  return gate_kl(kl, console);
}

}  // namespace deciban
