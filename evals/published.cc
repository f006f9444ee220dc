#include "evals/published.h"

namespace deciban {
namespace {

constexpr PublishedCorpus kCorpora[] = {
    {"ao3_english", "4c5e65d109b49762f54d79aaea65b74304679c0bbcf6884bb0d79192242ea772", 176369, 41507},
    {"ao3_nonenglish", "7059b2e0f759e0a4972ba347b2c9d5ca0bdaf37ceb7b792c95174931d048043f", 96004, 30647},
    {"arxiv_cs", "e1c1d741c7962f65b63496a80d21457ba549752235277e78e3c07d6063864341", 239648, 49323},
    {"arxiv_math", "1514e372a2b5bbb1b1b0fd61b1e6f64bb7ff07bc381209bba1ff5cd61e07552d", 167152, 45171},
    {"arxiv_other", "893a7920cca36ae5e9af965b12a2b09e8cdb1ab0eebeed19beefce7a71c7f773", 233521, 49105},
    {"arxiv_physics", "0e9cdd73a96c9cf660c96a2692f1d4966f7d88daaddc1665e5c6291dde9e06b4", 240870, 55393},
    {"bbc_news", "006c31abce63015036107bf4d2714b4aa427e89d153aa9688a6293c652900f3c", 54934, 12073},
    {"biorxiv_all", "33eed263408ead4420a778c3a6cd18e98f654f4614db8f4e7aa89bf84578f9fc", 231843, 52489},
    {"github_cpp", "142f5b94084f66a70632151444a78d6b028c9b875e691cb383af4a3ce25c41e9", 120346, 37845},
    {"github_javascript", "a8ab02e73206a9513cf816cb925ce042bd98183f3219f0ca83057489fbf87941", 130485, 39147},
    {"github_markdown", "310f80db04b5d80162eafae1a1a560e10ef1321fdcee75c5e272a1707c6d5133", 129153, 37656},
    {"github_other", "7e7e3664a4649301155a749fd6bfa981fb239e96045463e12b04e4aef3d6a4a0", 105417, 32644},
    {"github_python", "a7541ae21d1721539c196a11bf269948a27bc54383fbc551b736f2a17b94578f", 99750, 26811},
    {"wikipedia_english", "50e7ab3f6508e45586a934c0ed07afc78c695c677f991447bc5d7a46b6fa2613", 47534, 10942},
    {"wikipedia_nonenglish", "ed7f1cac31a27cc1120cdda8ed9058497c9bc0b1835c72b7793ca9abfcafa255", 67584,
     23436},
};

constexpr PublishedModel kModels[] = {
    {"rwkv7-g1g-1.5b", "rwkv7", 24, 2048, "https://huggingface.co/BlinkDL/rwkv7-g1"},
    {"rwkv7-g1g-7.2b", "rwkv7", 32, 4096, "https://huggingface.co/BlinkDL/rwkv7-g1"},
};

constexpr PublishedScore kScores[] = {
    {0, "ao3_english", 101667.9485},
    {0, "ao3_nonenglish", 74676.8333},
    {0, "arxiv_cs", 97505.4111},
    {0, "arxiv_math", 66467.9693},
    {0, "arxiv_other", 88674.6043},
    {0, "arxiv_physics", 102426.1128},
    {0, "bbc_news", 26375.5725},
    {0, "biorxiv_all", 98025.4770},
    {0, "github_cpp", 28199.2227},
    {0, "github_javascript", 29141.0171},
    {0, "github_markdown", 55967.9876},
    {0, "github_other", 26819.3087},
    {0, "github_python", 23404.2216},
    {0, "wikipedia_english", 22509.7045},
    {0, "wikipedia_nonenglish", 32487.8886},
    {1, "ao3_english", 93262.6844},
    {1, "ao3_nonenglish", 68445.2353},
    {1, "arxiv_cs", 87918.3716},
    {1, "arxiv_math", 59015.1841},
    {1, "arxiv_other", 78687.8033},
    {1, "arxiv_physics", 92682.4537},
    {1, "bbc_news", 24017.8401},
    {1, "biorxiv_all", 89138.3370},
    {1, "github_cpp", 23750.2006},
    {1, "github_javascript", 24048.7188},
    {1, "github_markdown", 48300.7621},
    {1, "github_other", 21982.5777},
    {1, "github_python", 19515.5469},
    {1, "wikipedia_english", 20192.6051},
    {1, "wikipedia_nonenglish", 27075.0569},
};

}  // namespace

std::span<const PublishedCorpus> published_corpora() { return kCorpora; }
std::span<const PublishedModel> published_models() { return kModels; }
std::span<const PublishedScore> published_scores() { return kScores; }
std::string_view published_corpora_source() {
  return "the first 20 texts of each category of "
         "https://huggingface.co/datasets/Jellyfish042/UncheatableEval-2026-04, "
         "as JSON lists (bench/data/uncheatable/*.json of https://github.com/Hakureirm/rwkv-sglang)";
}

}  // namespace deciban
