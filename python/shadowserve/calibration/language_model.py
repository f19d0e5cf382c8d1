"""The model under calibration: prefixes as KV in the canonical layout, and suffixes that read it."""

import pathlib

import torch

from shadowserve.calibration.rotary import Rotation, rotate_kv, rotations_of

ELEMENTS = {torch.bfloat16: 1, torch.float16: 2}


class NoSuchModel(ValueError):
    """A sentence for a person: what was asked for is no model that can be calibrated."""


class LanguageModel:
    """A causal language model of transformers with its tokenizer. KV is [layers, 2, tokens, channels], float32 that the
    cache's element type represents; channel = head * head_dim + dim; keys as caches hold them, rotated."""

    def __init__(self, model, tokenizer=None, element: torch.dtype = torch.bfloat16):
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.element = element
        config = model.config.get_text_config()
        self.layers = config.num_hidden_layers
        self.kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.device = model.device
        self.rotations: list[Rotation | None] = rotations_of(model, self.layers)

    @classmethod
    def load(cls, directory: str, device: str = "cpu") -> "LanguageModel":
        """Computes in float32 on a CPU, elsewhere in the model's own element type. Raises NoSuchModel."""
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        if not (pathlib.Path(directory) / "config.json").exists():
            raise NoSuchModel(f"{directory} is no folder with a model (config.json, tokenizer, safetensors)")
        element = AutoConfig.from_pretrained(directory).get_text_config().dtype or torch.bfloat16
        element = element if element in ELEMENTS else torch.bfloat16
        compute = torch.float32 if device == "cpu" else element
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=compute).to(device)
        return cls(model, AutoTokenizer.from_pretrained(directory), element)

    @property
    def channels(self) -> int:
        return self.kv_heads * self.head_dim

    def tokens(self, text: str) -> torch.Tensor:
        """[tokens], with the first token the tokenizer begins texts with."""
        return torch.tensor(self.tokenizer(text)["input_ids"], device=self.device)

    @torch.no_grad()
    def prefix_kv(self, tokens: torch.Tensor) -> torch.Tensor:
        """The KV of a sequence [tokens]."""
        from transformers import DynamicCache

        cache = DynamicCache()  # without a config, layers with a sliding window keep all tokens, as ours do
        self.model(tokens[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
        planes = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]  # [2, heads, ...]
        kv = torch.stack(planes).permute(0, 1, 3, 2, 4).reshape(self.layers, 2, len(tokens), self.channels)
        return kv.to(self.element).to(torch.float32)

    def suffix_logits(self, kv: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[tokens, vocabulary] of a suffix behind a prefix with this KV; differentiable in kv."""
        from transformers import DynamicCache

        prefix = kv.shape[2]
        heads = kv.reshape(self.layers, 2, prefix, self.kv_heads, self.head_dim).permute(0, 1, 3, 2, 4)
        cache = DynamicCache()
        for layer in range(self.layers):
            cache.update(*(plane[None].to(self.model.dtype) for plane in heads[layer]), layer)
        positions = torch.arange(prefix, prefix + len(tokens), device=self.device)[None]
        return self.model(tokens[None], past_key_values=cache, position_ids=positions, use_cache=True).logits[0].float()

    def unrotated(self, kv: torch.Tensor) -> torch.Tensor:
        """The KV of a prefix, or gradients in it, with un-rotated keys."""
        return rotate_kv(kv, self.rotations, self.kv_heads, backwards=True)
