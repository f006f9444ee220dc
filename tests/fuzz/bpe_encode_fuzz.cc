// Any text through small tokenizers of every kind: ids are in range, and decoding gives the normalised text.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "engine/utf8.h"

namespace {

// The 256 bytes in GPT-2's alphabet, and merges and parts as given.
std::string byte_level(const std::string& parts) {
  std::string vocabulary;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool own = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    std::string letter;
    deciban::append_utf8(letter, own ? byte : next++);
    vocabulary +=
        (letter == "\"" || letter == "\\" ? "\"\\" : "\"") + letter + "\":" + std::to_string(byte) + ",";
  }
  return R"({"model":{"type":"BPE","vocab":{)" + vocabulary +
         R"("aa":256,"aaa":257,"ab":258,"ba":259,"aba":260,"Ġa":261,"ĠĠ":262,"th":263,"the":264},
            "merges":["a a","aa a","a b","b a","a ba","Ġ a","Ġ Ġ","t h","th e"]},
            "decoder":{"type":"ByteLevel"},)" +
         parts + "}";
}

std::string added(bool normalized, const std::string& content, const std::string& flag, int id) {
  return R"({"id":)" + std::to_string(id) + R"(,"content":")" + content +
         R"(","special":false,"normalized":)" + (normalized ? "true" : "false") + ",\"" + flag + "\":true}";
}

// As Llama-2: bytes at 3 to 258, then letters.
std::string sentencepiece(const std::string& parts) {
  std::string vocabulary = R"("<unk>":0,"<s>":1,"</s>":2)";
  for (int byte = 0; byte < 256; ++byte) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    vocabulary +=
        std::string(",\"<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">\":" + std::to_string(byte + 3);
  }
  return R"({"model":{"type":"BPE","byte_fallback":true,"fuse_unk":true,"unk_token":"<unk>","vocab":{)" +
         vocabulary +
         R"(,"▁":259,"a":260,"b":261,"▁▁":262,"▁a":263,"ab":264},"merges":[["▁","▁"],["▁","a"],["a","b"]]},)" +
         parts + "}";
}

std::vector<std::unique_ptr<deciban::Tokenizer>> tokenizers() {
  const std::string split = R"({"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":")";
  const std::string llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const std::string added_tokens = R"("added_tokens":[)" + added(false, "<l>", "lstrip", 300) + "," +
                                   added(false, "<r>", "rstrip", 301) + "," +
                                   added(true, "<w>", "single_word", 302) + "]";
  const std::string llama2_decoder =
      R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
         {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";
  std::vector<std::unique_ptr<deciban::Tokenizer>> all;
  for (const std::string& json :
       {byte_level(
            R"("normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},)" +
            added_tokens),
        byte_level(R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + split + llama3 + "\"}}," +
                   bytes + "]}"),
        byte_level(R"("normalizer":{"type":"NFKD"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)" +
                   split + R"([\\p{Lu}\\p{M}]+|\\s"}},{"type":"Digits","individual_digits":true},)" + bytes +
                   "]}"),
        sentencepiece(R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
           {"type":"Replace","pattern":{"String":" "},"content":"▁"}]},)" +
                      added_tokens + "," + llama2_decoder),
        sentencepiece(R"("pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"},)" +
                      llama2_decoder)}) {
    all.push_back(deciban::parse_bpe_tokenizer(json, "t.json"));
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto all = tokenizers();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& tokenizer : all) {
    const std::vector<deciban::Token> tokens = tokenizer->encode(text);
    for (const deciban::Token token : tokens) {
      if (token < 0 || static_cast<std::size_t>(token) >= tokenizer->size()) std::abort();
    }
    if (tokenizer->decode(tokens) != tokenizer->normalise(text)) std::abort();
  }
  return 0;
}
