#!/usr/bin/env python3
"""Makes tests/golden/transformers: tiny random models of every family and their log-probabilities.

Needs PyTorch and transformers; the product and its tests do not.  Usage:

    python3 scripts/reference/transformers_golden.py [OUTPUT_FOLDER] [CASE ...]

Each case is a folder as save_pretrained() writes it (config.json, safetensors, some of them sharded) and
expected.json: the token ids, and for each token after the first its log-probability given all before it, computed in
float32 (the published implementation's own arithmetic) and in float64.  Weights are exact in the format they are stored in.
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers as hf

VOCABULARY = 61  # not a multiple of anything
TOKENS = 150  # crosses two borders of 64


def llama_like(kind, **more):
    base = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
                bos_token_id=0, eos_token_id=0, pad_token_id=None)
    base.update(more)
    return kind(**base)


def rope(kind, theta=10000.0, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


CASES = {
    "gpt2": (lambda: hf.GPT2Config(vocab_size=VOCABULARY, n_positions=256, n_embd=32, n_layer=2, n_head=4,
                                   bos_token_id=0, eos_token_id=0), torch.float16),
    "gpt2-variant": (lambda: hf.GPT2Config(vocab_size=VOCABULARY, n_positions=160, n_embd=24, n_layer=3, n_head=2,
                                           n_inner=40, activation_function="relu", layer_norm_epsilon=1e-3,
                                           scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False,
                                           bos_token_id=0, eos_token_id=0), torch.bfloat16),
    "neox": (lambda: hf.GPTNeoXConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2,
                                      num_attention_heads=2, intermediate_size=64, max_position_embeddings=256,
                                      rotary_pct=0.25, bos_token_id=0, eos_token_id=0), torch.bfloat16),
    "neox-sequential": (lambda: hf.GPTNeoXConfig(vocab_size=VOCABULARY, hidden_size=40, num_hidden_layers=2,
                                                 num_attention_heads=2, intermediate_size=64, rotary_pct=0.6,
                                                 max_position_embeddings=256, use_parallel_residual=False,
                                                 hidden_act="gelu_new", tie_word_embeddings=True,
                                                 attention_bias=False, bos_token_id=0, eos_token_id=0),
                        torch.bfloat16),
    "opt": (lambda: hf.OPTConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, ffn_dim=64,
                                 num_attention_heads=4, max_position_embeddings=160, word_embed_proj_dim=32,
                                 pad_token_id=1, bos_token_id=2, eos_token_id=2), torch.float16),
    "opt-350m": (lambda: hf.OPTConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, ffn_dim=64,
                                      num_attention_heads=4, max_position_embeddings=160, word_embed_proj_dim=20,
                                      do_layer_norm_before=False, pad_token_id=1, bos_token_id=2, eos_token_id=2),
                 torch.float16),
    "bloom": (lambda: hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=36, n_layer=2, n_head=6, bos_token_id=1,
                                     eos_token_id=2), torch.bfloat16),
    "llama": (lambda: llama_like(hf.LlamaConfig), torch.float32),
    "llama-gqa-sharded": (lambda: llama_like(hf.LlamaConfig, num_key_value_heads=2, tie_word_embeddings=True,
                                             num_hidden_layers=3), torch.bfloat16),
    "llama-biases": (lambda: llama_like(hf.LlamaConfig, num_key_value_heads=1, attention_bias=True, mlp_bias=True,
                                        head_dim=12), torch.bfloat16),
    "llama-linear": (lambda: llama_like(hf.LlamaConfig, rope_parameters=rope("linear", factor=4.0)), torch.bfloat16),
    "llama-dynamic": (lambda: llama_like(hf.LlamaConfig, rope_parameters=rope("dynamic", factor=2.0)),
                      torch.bfloat16),
    "llama-llama3": (lambda: llama_like(hf.LlamaConfig, head_dim=16, rope_parameters=rope(
        "llama3", 500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=64)), torch.bfloat16),
    "llama-yarn": (lambda: llama_like(hf.LlamaConfig, head_dim=16, rope_parameters=rope(
        "yarn", 1000.0, factor=4.0, original_max_position_embeddings=128)), torch.bfloat16),
    "mistral-window": (lambda: llama_like(hf.MistralConfig, num_key_value_heads=2, sliding_window=40),
                       torch.bfloat16),
    "qwen2": (lambda: llama_like(hf.Qwen2Config, num_key_value_heads=2, tie_word_embeddings=True,
                                 rope_parameters=rope("default", 1000000.0)), torch.bfloat16),
    "qwen2-windows": (lambda: llama_like(hf.Qwen2Config, num_key_value_heads=2, use_sliding_window=True,
                                         sliding_window=30, max_window_layers=1), torch.bfloat16),
    "qwen3": (lambda: llama_like(hf.Qwen3Config, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-6),
              torch.bfloat16),
}


def fill(model, seed):
    """Values of order one everywhere, so that every part of the model moves the result."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        if p.dim() == 1:
            value = 1 + 0.2 * noise if "norm" in name.lower() or "ln" in name.lower() else 0.3 * noise
            if name.endswith("bias"):
                value = 0.3 * noise
        elif "embed" in name or "wte" in name or "wpe" in name:
            value = 0.8 * noise
        else:
            inputs = p.shape[0] if "c_" in name else p.shape[1]  # GPT-2's Conv1D is [in, out]
            value = 1.3 * noise / inputs ** 0.5
        p.data = value.to(p.dtype)


def log_probs(model, ids):
    with torch.no_grad():
        logits = model(ids[None]).logits[0].double()
    return torch.log_softmax(logits, -1)[:-1].gather(1, ids[1:, None])[:, 0].tolist()


def make(folder, name, config, dtype, seed):
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    config._attn_implementation = "eager"
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    fill(model, seed)
    model.tie_weights()
    model.to(dtype).save_pretrained(target, max_shard_size="20KB" if "sharded" in name else "1GB")
    for extra in target.glob("generation_config.json"):
        extra.unlink()
    ids = torch.randint(3, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(seed + 1))
    load = lambda t: hf.AutoModelForCausalLM.from_pretrained(target, attn_implementation="eager", dtype=t).eval()
    single, double = log_probs(load(torch.float32), ids), log_probs(load(torch.float64), ids)
    worst = max(abs(a - b) for a, b in zip(single, double))
    rounded = lambda values: [round(v, 7) for v in values]
    (target / "expected.json").write_text(json.dumps(
        {"tokens": ids.tolist(), "logprobs": rounded(single), "logprobs64": rounded(double)}))
    size = sum(f.stat().st_size for f in target.iterdir())
    print(f"{name}: mean log p {sum(double) / len(double):.3f}, float32 to float64 {worst:.1e}, {size} bytes")


def main():
    default = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/transformers"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    chosen = sys.argv[2:] or CASES
    print("torch", torch.__version__, "transformers", hf.__version__)
    for seed, (name, (config, dtype)) in enumerate(CASES.items()):
        if name in chosen:
            make(folder, name, config(), dtype, 1000 + 10 * seed)


if __name__ == "__main__":
    main()
