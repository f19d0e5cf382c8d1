"""Pages of multi-head latent attention (MLA): one vector a token, and the proof that vLLM writes it where we look."""

from typing import TYPE_CHECKING

import torch

from shadowserve.vllm.cache_kind import distinct_values
from shadowserve.vllm.served_model import NotSupported, ServedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRATCH_PAGES = 3


def latent_pages(model: ServedModel, name: str, pages: torch.Tensor) -> torch.Tensor:
    """[pages, token, dim] of whatever the engine registered: vLLM 0.32 has an axis for the one head."""
    if pages.dim() == 4 and pages.shape[1] == 1:
        pages = pages.squeeze(1)
    inner = (model.page_tokens, model.head_dim)
    if pages.dim() != 3 or tuple(pages.shape[1:]) != inner:
        raise NotSupported(f"{name}: latent pages of shape {tuple(pages.shape)}", f"expected [pages, {inner}]")
    if pages.stride()[1:] != (model.head_dim, 1):
        raise NotSupported(f"{name}: latent pages with strides {pages.stride()}", "expected each page in one piece")
    return pages


def prove_latent_layout(model: ServedModel, pages: torch.Tensor, layers: "Mapping[str, object]") -> None:
    """Lets the attention implementation of every kind that the model has write scratch pages, and looks for every token
    where we would. `pages` as latent_pages() gives them. Raises NotSupported."""
    impls = {type(layers[name].impl): layers[name].impl for name in model.layer_names}
    for kind, impl in impls.items():
        if not _writes_as_we_look(model, pages, impl):
            raise NotSupported(
                f"the page layout of the attention {kind.__name__}", "use a vLLM version named in the documentation"
            )


def _writes_as_we_look(model: ServedModel, pages: torch.Tensor, impl) -> bool:
    tokens = SCRATCH_PAGES * model.page_tokens
    scratch = torch.zeros((SCRATCH_PAGES, model.page_tokens, model.head_dim), dtype=model.dtype, device=pages.device)
    computed, stored = (each.to(pages.device) for each in distinct_values((tokens, model.head_dim), model.kind, seed=1))
    slots = torch.randperm(tokens, generator=torch.Generator().manual_seed(1)).to(pages.device)
    latent, rotary = computed[:, : impl.kv_lora_rank].contiguous(), computed[:, impl.kv_lora_rank :].contiguous()
    one = torch.ones((), dtype=torch.float32, device=pages.device)
    impl.do_kv_cache_update(latent, rotary.unsqueeze(1), scratch, slots, model.kind.cache_dtype, one)
    found = scratch.view(tokens, model.head_dim)[slots]
    return torch.equal(found.view(model.kind.bits), stored.view(model.kind.bits))
