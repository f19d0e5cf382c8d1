"""A Llama so small that a test can calibrate it, with attention that prefers some tokens."""

import torch

VOCABULARY = 96


def tiny_llama(seed: int = 1, **changes) -> torch.nn.Module:
    """Two layers, two KV heads of 16, attention that prefers some tokens, logits that depend on them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**config, **changes}))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                gain = 1.7 if "q_proj" in name or "k_proj" in name else 1.0
                weight.normal_(0, 1 if "embed" in name else gain / weight.shape[1] ** 0.5)
    return model
