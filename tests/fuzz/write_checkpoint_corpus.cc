// Writes the seeds of the checkpoint fuzzers: small valid files of every format and RWKV version.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/rwkv_names.h"
#include "tests/engine/rwkv_conversions.h"
#include "tests/engine/tiny_rwkv.h"

namespace deciban {
namespace {

using namespace testing_files;

class Corpus {
 public:
  explicit Corpus(std::filesystem::path root) : root_(std::move(root)) {}
  void add(const std::string& format, const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(root_ / format);
    std::ofstream(root_ / format / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path root_;
};

// The smallest models that still have two blocks and two heads, and unequal ranks.
TinyModel smallest() {
  TinyModel size;
  size.vocabulary = 2;
  size.head_size = 1;
  size.ffn = 3;
  return size;
}

// Without checksums, so that a fuzzer can change the data.
std::string torch_without_checksums(const std::vector<WrittenTensor>& tensors, const ZipStyle& style) {
  std::string file = torch_file(tensors, style);
  const std::string entry = packed<std::uint32_t>({0x02014b50});
  for (std::size_t at = 0; (at = file.find(entry, at)) != std::string::npos; at += 46)
    file.replace(at + 16, 4, 4, '\0');
  return file;
}

void write(Corpus corpus) {
  ZipStyle plain;
  plain.padding = false;
  ZipStyle large = plain;
  large.zip64_entries = true;
  ZipStyle old = plain;
  old.zip64_end = false;
  old.comment = "comment";
  for (const char* version : {"4", "5.0", "5.1", "5.2", "6", "7"}) {
    const std::string name = std::string("rwkv") + version;
    const auto tensors = tiny_rwkv(version, smallest());
    if (name == "rwkv4") corpus.add("pth", name, torch_without_checksums(tensors, plain));
    corpus.add("safetensors", name, safetensors_file(tensors));
    corpus.add("rwkvcpp", name, rwkvcpp_file(tensors));
  }
  const auto six = tiny_rwkv("6", smallest());
  const Checkpoint official6 = official_rwkv(read_bytes(safetensors_file(six)));
  const Checkpoint official7 = official_rwkv(read_bytes(safetensors_file(tiny_rwkv("7", smallest()))));
  corpus.add("safetensors", "web-rwkv6", safetensors_file(web(official6)));
  corpus.add("safetensors", "web-rwkv7", safetensors_file(web(official7)));
  corpus.add("gguf", "rwkv6", gguf6(official6, 1, true));
  corpus.add("gguf", "rwkv6-apart", gguf6(official6, 0, false));

  const WrittenTensor small = f32_tensor("a", {2, 2}, {1, 2, 3, 4});
  const WrittenTensor quantised{"q", {2, 32}, std::string(44, 'q'), Encoding::q5_0};
  corpus.add("pth", "zip64", torch_without_checksums({small}, large));
  corpus.add("pth", "comment", torch_without_checksums({small}, old));
  corpus.add("pth", "bf16", torch_without_checksums({{"b", {3}, "abcdef", Encoding::bf16}}, plain));
  corpus.add("rwkvcpp", "quantised", rwkvcpp_header(101, 1, 1, 1, 7) + rwkvcpp_record(quantised));
  corpus.add("gguf", "quantised",
             gguf_file({gguf_text("general.architecture", "rwkv7"), gguf_u32("general.alignment", 8),
                        gguf_texts("tokenizer.ggml.tokens", {"<s>", "a"}), gguf_number("f", 6, 0.5f),
                        gguf_number<std::uint8_t>("b", 7, 1)},
                       {quantised, small}, 8));

  corpus.add("gguf", "rwkv7",
             gguf_file({gguf_text("general.architecture", "rwkv7"), gguf_u32("rwkv7.wkv.head_size", 2)},
                       {f32_tensor("token_embd.weight", {1, 2}, {1, 2}),
                        f32_tensor("blk.0.time_mix_r_k.weight", {4}, {1, 2, 3, 4}),
                        f32_tensor("blk.0.time_mix_lerp_fused.weight", {6, 1, 1, 1}, {1, 2, 3, 4, 5, 6}),
                        f32_tensor("blk.0.time_mix_w1.weight", {1, 2}, {1, 2}),
                        f32_tensor("blk.0.time_mix_v0.weight", {2}, {1, 2})}));

  TorchView view{.storage_elements = 8, .offset = 1, .shape = {2, 3}, .strides = {1, 2}};
  const std::string tensor = pickle_tensor(view);
  view.key = "1";
  view.storage_elements = 0;
  view.shape = {0, 3};
  const std::string empty = pickle_tensor(view);
  const std::string parameter = pickle_global("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88" +
                                pickle_global("collections", "OrderedDict") + ")RtR";
  corpus.add("pickle", "tensors", pickled(pickle_dict({{"a", tensor}, {"e", empty}, {"p", parameter}})));
  corpus.add("pickle", "nested",
             pickled(pickle_dict({{"model", pickle_dict({{"a", tensor}})}, {"epoch", "K\x07"}, {"n", "N"}})));
  corpus.add(
      "pickle", "ordered",
      pickled(pickle_global("collections", "OrderedDict") + ")Rq\x01(" + pickle_text("a") + tensor + "u}b"));
  corpus.add(
      "pickle", "opcodes",
      pickled("}(" + pickle_text("l") +
              "](K\x01M\x02\x01"
              "e]N"
              "a" +
              pickle_text("t") + "K\x01K\x02\x86q\x02" + pickle_text("g") + "h\x02" + pickle_text("f") +
              std::string("G\x3f\xf0\0\0\0\0\0\0", 9) + pickle_text("i") + "\x8a\x02\xff\xff" + "u"));
  corpus.add("pickle", "protocol4",
             std::string("\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94\x8c\x05torch\x8c\x0c"
                         "FloatStorage\x93\x94.",
                         38));
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s tests/fuzz/corpus\n", argv[0]);
    return 2;
  }
  deciban::write(deciban::Corpus(argv[1]));
  return 0;
}
