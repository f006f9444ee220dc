// The input is the pickle of a .pth file, around which a sound archive with a few storages is put: the
// archive's lengths and checksums would keep a fuzzer of whole files from getting deep into pickles.
#include "tests/engine/checkpoint_files.h"
#include "tests/fuzz/checkpoint_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string pickle(reinterpret_cast<const char*>(data), size);
  const std::string archive = deciban::testing_files::zip_file({{"m/data.pkl", pickle},
                                                                {"m/data/0", std::string(1024, 'x')},
                                                                {"m/data/1", ""},
                                                                {"m/data/2", std::string(3, 'y')}});
  deciban::fuzz_checkpoint(std::as_bytes(std::span(archive)), deciban::read_torch_file);
  return 0;
}
