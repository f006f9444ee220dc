// Getting the RWKV World vocabulary, which the project may not carry along, to where models look for it.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/http.h"

namespace deciban {

inline constexpr const char* kWorldVocabularyFile = "rwkv_vocab_v20230424.txt";
// Of the file with LF line ends.
inline constexpr const char* kWorldVocabularyDigest =
    "e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89";
// The folder of upstream's copy.
inline constexpr const char* kWorldVocabularyUrl =
    "https://raw.githubusercontent.com/BlinkDL/ChatRWKV/main/tokenizer";

// Where it belongs for this user: $XDG_DATA_HOME/deciban, else ~/.local/share/deciban, and the file's name.
// Throws std::runtime_error if neither is known.
std::filesystem::path world_vocabulary_target();

enum class Fetched { downloaded, already_there };

// Downloads base_url/rwkv_vocab_v20230424.txt, checks that it is the published vocabulary (copies with CRLF
// line ends are, and are installed with LF), and puts it at `target`.  Does nothing if it is there already.
// Throws std::runtime_error as download() does, or naming both digests.
Fetched fetch_world_vocabulary(const std::string& base_url, const std::filesystem::path& target,
                               DownloadOptions options = {});

}  // namespace deciban
