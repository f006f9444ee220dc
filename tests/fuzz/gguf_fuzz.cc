// The input is a GGUF file.
#include "tests/fuzz/checkpoint_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  deciban::fuzz_checkpoint(std::as_bytes(std::span(data, size)), deciban::read_gguf_file);
  return 0;
}
