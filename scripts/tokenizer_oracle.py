#!/usr/bin/env python3
"""Makes small tokenizers of every supported family and, with the reference library, what they make of many texts.

    pip install tokenizers
    scripts/tokenizer_oracle.py tests/golden/tokenizers/families            # what the tests carry
    scripts/tokenizer_oracle.py /tmp/oracle --texts 20000 --seed 7          # more, then
    DECIBAN_ORACLE=/tmp/oracle build/release/bin/engine_tests --gtest_filter='BpeFamilies.*'

Each family is FAMILY.json, a tokenizer.json trained here, and FAMILY.jsonl, lines of {"text", "ids", "decoded"}.
"""
import argparse
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# Written for this purpose.
PROSE = """The weighing of evidence is older than the theory of it. A judge who hears two witnesses agree believes the
matter more than after hearing one, and it's not the sum of their words that persuades her but their independence.
Turing's unit for this was the ban; a tenth of it, the deciban, is about the smallest change in belief that a person
can feel. We'll count them here: 10, 200, 3000 and 45,678.90 of them. They've been counted before, I'm told; you'd
think that'd settle things. DON'T SHOUT! She said: "don't shout, we're listening" -- and they were.
Die Prüfung der Größen überraschte niemanden: Ärger, Öl und Übermut hießen die drei Straßen.
L'été dernier, à Noël, les élèves où le cœur naïf s'éveille ; c'était déjà l'âge mûr.
El niño comió piñas mañana y señaló el camino: ¿quién, si no él?
Съешь же ещё этих мягких французских булок, да выпей чаю. Всё хорошо.
天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。我们在这里写一些字，只是为了测试。
いろはにほへと ちりぬるを。これはテストのための文章です。한국어 문장도 조금 넣어 봅니다.
"""
CODE = """int main(int argc, char** argv) {
    for (int i = 0; i < argc; ++i) {
        printf("%d: %s\\n", i, argv[i]);
    }
    return 0;
}
def mean(xs):
\tif not xs:
\t\traise ValueError("empty")
\treturn sum(xs) / len(xs)   # 3.14159
"""
FRAGMENTS = [
    " ", "  ", "   ", "        ", "\n", "\r\n", "\n\n", "\t", "\u00a0", "\u2003", "\u3000", "\u0085", "\u200b", "\u180e",
    "a", "Z", "the", " the", "ing", "ing ", "0", "7", "12", "345", "6789", "١٢٣", "½", "Ⅷ", "²", "૩", "'", "'s", "'S", "'ſ",
    "'re", "'RE", "'ll", "'Ve", "’s", "é", "e\u0301", "ä̈", "ß", "ü", "Å", "Å", "ﬁ", "한", "한", "각", "好", "你好", "世界",
    "です", "😀", "👍🏽", "👩‍👩‍👧", "٣", "ا", "अ", "क़", "\u0301", "\u0323\u0307", "▁", "▁▁", "▁a", " ▁", "_", "-", "--",
    "...", "…", "!", "?!", "/", "\\", "(", ")", "{", "}", "=", "==", "<", ">", "<s>", "</s>", "<unk>", "<0x41>", "<0x0A>",
    "<|endoftext|>", "<|begin_of_text|>", "<|im_start|>", "<|im_end|>", "<word>", "<left>", "<right>", "<raw>", "<norm>", "각!", "각!",
    "\u0000", "\u0007", "\u007f", "\ufeff", "\ufffd", "\U00010348", "\U0001d7d8", "\U00011938", "\u07fd", "\u01c5",
]


def added_tokens(*special):
    return ([AddedToken(text, special=True, normalized=False) for text in special] +
            [AddedToken("<word>", single_word=True, normalized=False), AddedToken("<left>", lstrip=True, normalized=False),
             AddedToken("<right>", rstrip=True, normalized=False), AddedToken("<raw>", normalized=False),
             AddedToken("<norm>", normalized=True), AddedToken("각!", normalized=True)])


def train(tokenizer, size, special=(), alphabet=True, show=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else list(show))
    tokenizer.train_from_iterator((PROSE + CODE).splitlines(keepends=True), trainer)
    return tokenizer


def byte_level(pre, normalizer=None, special=("<|endoftext|>",), extra=(), template=None, size=700, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, size, special)
    tokenizer.add_tokens(list(extra))
    if template:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=[template, "$A"], special_tokens=[(template, tokenizer.token_to_id(template))])])
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def bytes_only():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def sentencepiece(pre=None, normalizer=None, decoder=None, fallback=True, fuse=True, size=600):
    """As SentencePiece's vocabularies are converted: <unk>, <s>, </s>, 256 bytes, then pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, fuse_unk=fuse))
    if normalizer:
        tokenizer.normalizer = normalizer
    # Training without word boundaries would give one huge word.
    tokenizer.pre_tokenizer = pre or pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{byte:02X}>" for byte in range(256)] if fallback else [])
    train(tokenizer, size, special, alphabet=False, show="▁")
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = document["added_tokens"][:3]
    # Runs of spaces are tokens in such vocabularies.
    for text in ("▁▁", "▁▁▁▁"):
        if text not in document["model"]["vocab"]:
            document["model"]["vocab"][text] = len(document["model"]["vocab"])
            document["model"]["merges"].append([text[:len(text) // 2]] * 2)
    if pre is None:
        document["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoder
    tokenizer.post_processor = processors.TemplateProcessing(single=["<s>", "$A"], special_tokens=[("<s>", 1)])
    tokenizer.add_tokens(added_tokens())
    return tokenizer


def llama2_normalizer():
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def llama2_decoder(strip=1):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", strip, 0)] if strip else []))


def metaspace(scheme, split_words=True, decoder=None, **options):
    return sentencepiece(pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split_words), None,
                         decoder or llama2_decoder(scheme != "never"), **options)


FAMILIES = {
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "gpt2-prefix-space": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), extra=added_tokens()),
    "llama3": lambda: byte_level(pre_tokenizers.Sequence([split(LLAMA3), bytes_only()]), ignore_merges=True,
                                 special=("<|begin_of_text|>", "<|end_of_text|>"), template="<|begin_of_text|>"),
    "qwen2": lambda: byte_level(pre_tokenizers.Sequence([split(QWEN2), bytes_only()]), normalizers.NFC(),
                                extra=added_tokens("<|im_start|>", "<|im_end|>")),
    "smollm": lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                          pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "neox": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC(),
                               extra=[AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)]),
    "gpt4o": lambda: byte_level(pre_tokenizers.Sequence([split(GPT4O), bytes_only()]), extra=added_tokens()),
    "splits": lambda: byte_level(pre_tokenizers.Sequence([
        split(r"\p{N}{1,3}", "merged_with_next"), split(r"[一-龥぀-ゟ゠-ヿ]+", "merged_with_previous"), split(r"[!?]", "contiguous"),
        split(r"[^\s-]+|-", "removed", invert=True), pre_tokenizers.Split("the", "merged_with_next"),
        pre_tokenizers.Digits(individual_digits=False), bytes_only()]), normalizers.NFKC()),
    "llama2": lambda: sentencepiece(None, llama2_normalizer(), llama2_decoder()),
    "metaspace-first": lambda: metaspace("first"),
    "metaspace-always": lambda: metaspace("always", split_words=False),
    "metaspace-never": lambda: metaspace("never"),
    "unknown": lambda: metaspace("always", fallback=False, fuse=False, decoder=decoders.Metaspace()),
    "unknown-fused": lambda: sentencepiece(None, llama2_normalizer(), llama2_decoder(), fallback=False),
}


def random_text(rng):
    kind = rng.random()
    if kind < 0.25:
        source = rng.choice((PROSE, CODE))
        begin = rng.randrange(len(source))
        return source[begin:begin + rng.randrange(1, 100)]
    if kind < 0.35:
        return "".join(chr(rng.choice((rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0xd800),
                                       rng.randrange(0xe000, 0x110000)))) for _ in range(rng.randrange(1, 12)))
    return "".join(rng.choice(FRAGMENTS) for _ in range(rng.randrange(1, 16)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--texts", type=int, default=120, help="random texts a family")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for number, (name, make) in enumerate(FAMILIES.items()):
        tokenizer = make()
        (arguments.folder / f"{name}.json").write_text(
            json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        rng = random.Random(arguments.seed * 1000 + number)
        texts = ["", " ", "a", " a", "  a", "a ", "Hello world", "<s>Hello</s> x", "<|endoftext|>a<|endoftext|>",
                 "x <left> <right> y<word>z <word> <norm>각!", "don't DON'T we'll", "1234567 12 3"]
        texts += [random_text(rng) for _ in range(arguments.texts)]
        with open(arguments.folder / f"{name}.jsonl", "w") as out:
            for text in texts:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                decoded = tokenizer.decode(ids, skip_special_tokens=False)
                out.write(json.dumps({"text": text, "ids": ids, "decoded": decoded}, ensure_ascii=False,
                                     separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
