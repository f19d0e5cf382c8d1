"""Our page layouts against vLLM's own operator, which runs for every kernel on any x86 machine; and refusals."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402

from shadowserve.vllm.cache_kind import BF16, FP8_E4M3, FP8_E5M2, FP16, cache_kind, distinct_values  # noqa: E402
from shadowserve.vllm.latent_pages import prove_latent_layout  # noqa: E402
from shadowserve.vllm.page_layout import page_layout, prove_layout  # noqa: E402
from shadowserve.vllm.served_model import NotSupported, ServedModel  # noqa: E402

pytestmark = [pytest.mark.quick, pytest.mark.skipif(ON_GPU, reason="these kernels are the CPU engine's")]

# What vLLM's kernels take: fp16 is nothing for AMX, fp8 nothing for vec16.
WRITTEN = [
    *[(isa, kind) for isa in ("vec", "amx") for kind in (BF16, FP8_E4M3, FP8_E5M2)],
    ("vec", FP16), ("vec16", BF16), ("vec16", FP16),
]  # fmt: skip
SHAPES = [(128, 4, 64), (32, 1, 256), (128, 8, 128), (64, 3, 96)]


@pytest.mark.parametrize("page_tokens, kv_heads, head_dim", SHAPES)
@pytest.mark.parametrize("isa, kind", WRITTEN, ids=[f"{isa}-{kind.name}" for isa, kind in WRITTEN])
def test_layout_is_the_kernels(isa, page_tokens, kv_heads, head_dim, kind):
    prove_layout(isa, isa, page_tokens, kv_heads, head_dim, kind)


@pytest.mark.parametrize("head_dim", [80, 112])
def test_heads_that_are_no_multiple_of_32(head_dim):
    prove_layout("vec16", "vec16", 128, 2, head_dim, BF16)


@pytest.mark.parametrize("ours, theirs", [("amx", "vec"), ("vec", "amx"), ("plain", "vec"), ("plain", "amx")])
def test_a_wrong_layout_is_noticed(ours, theirs):
    with pytest.raises(NotSupported, match=f"attention kernel '{theirs}'"):
        prove_layout(ours, theirs, 128, 4, 64, BF16)


@pytest.mark.parametrize("ours, theirs", [("amx", "vec"), ("vec", "amx"), ("plain", "vec")])
@pytest.mark.parametrize("kind", [FP8_E4M3, FP8_E5M2], ids=lambda kind: kind.name)
def test_a_wrong_layout_of_bytes_is_noticed(ours, theirs, kind):
    with pytest.raises(NotSupported, match=f"attention kernel '{theirs}'"):
        prove_layout(ours, theirs, 128, 4, 64, kind)


@pytest.mark.parametrize("given, other", [(FP8_E4M3, FP8_E5M2), (FP8_E5M2, FP8_E4M3)])
def test_an_operator_that_writes_another_kind_of_fp8_is_noticed(given, other, monkeypatch):
    from vllm import _custom_ops as ops

    write = ops.cpu_attn_reshape_and_cache
    told = {"kv_cache_dtype": other.cache_dtype}
    monkeypatch.setattr(ops, "cpu_attn_reshape_and_cache", lambda *rest, kv_cache_dtype: write(*rest, **told))
    with pytest.raises(NotSupported, match="page layout"):
        prove_layout("vec", "vec", 128, 4, 64, given)


@pytest.mark.parametrize("kind", [FP8_E4M3, FP8_E5M2], ids=lambda kind: kind.name)
@pytest.mark.parametrize("computed", [torch.bfloat16, torch.float16])
def test_proving_numbers_are_exact_in_what_the_model_computes(kind, computed):
    kind = cache_kind(kind.cache_dtype, torch.uint8, computed)
    numbers, stored = distinct_values((4096,), kind, seed=3)
    assert numbers.dtype is computed and torch.isfinite(numbers).all()
    assert torch.equal(numbers.to(kind.meant).view(torch.uint8), stored)
    assert len(stored.unique()) > 200


class LatentImpl:
    """As vLLM's: writes latent and rotary part of each token into its slot."""

    kv_lora_rank = 48
    swaps = False

    def do_kv_cache_update(self, latent, rotary, pages, slots, cache_dtype, scale):
        parts = (rotary.squeeze(1), latent) if self.swaps else (latent, rotary.squeeze(1))
        pages.view(-1, pages.shape[-1])[slots] = torch.cat(parts, dim=-1)


class SwappingImpl(LatentImpl):
    swaps = True


def latent(**changes) -> ServedModel:
    return model(kv_heads=1, head_dim=64, page_tokens=16, latent=True, **changes)


def implemented_by(*impls):
    return {f"l.{number}": SimpleNamespace(impl=impl) for number, impl in enumerate(impls)}


@pytest.mark.parametrize("shape", [(5, 16, 64), (5, 1, 16, 64)])
def test_latent_pages_are_plain(shape):
    layers = implemented_by(LatentImpl(), LatentImpl())
    assert page_layout(latent(), {"l.0": pages(shape), "l.1": pages(shape)}, layers) == "plain"


def test_latent_pages_that_are_written_otherwise_are_noticed():
    """Also when only the second layer's implementation does."""
    prove_latent_layout(latent(), pages((5, 16, 64)), implemented_by(LatentImpl(), LatentImpl()))
    with pytest.raises(NotSupported, match="SwappingImpl"):
        prove_latent_layout(latent(), pages((5, 16, 64)), implemented_by(LatentImpl(), SwappingImpl()))


@pytest.mark.parametrize("shape", [(5, 16, 32), (5, 32, 64), (5, 2, 16, 64), (2, 5, 1, 16, 64)])
def test_latent_pages_of_another_shape_are_refused(shape):
    layers = implemented_by(LatentImpl(), LatentImpl())
    with pytest.raises(NotSupported, match="latent pages of shape"):
        page_layout(latent(), {"l.0": pages(shape), "l.1": pages(shape)}, layers)


def model(**changes) -> ServedModel:
    fields = dict(
        name="m", fingerprint="0" * 64, weights_fingerprint=None, layer_names=("l.0", "l.1"), kv_heads=2, head_dim=64,
        page_tokens=32, kind=BF16,
    )  # fmt: skip
    return ServedModel(**(fields | changes))


def pages(shape=(4, 2, 32, 128), dtype=torch.bfloat16, device="cpu"):
    return torch.empty(shape, dtype=dtype, device=device)


def isas(*names):
    return {f"l.{number}": SimpleNamespace(isa=name) for number, name in enumerate(names)}


def test_a_model_as_expected_is_accepted():
    assert page_layout(model(), {"l.0": pages(), "l.1": pages()}, isas("vec", "vec")) == "vec"


@pytest.mark.parametrize(
    "first, second, layers, sentence",
    [
        (pages(), pages(), isas("neon", "neon"), "attention kernel 'neon'"),
        (pages(), pages(), isas("vec", "amx"), "a mixture of attention kernels"),
        (pages(), pages(), isas(None, None), "attention kernel 'None'"),
        (pages(), pages((5, 2, 32, 128)), isas("vec", "vec"), "layers differ in shape"),
        (pages(dtype=torch.float16), pages(), isas("vec", "vec"), "a KV cache of torch.float16"),
        (pages((2, 4, 32, 2, 64)), pages(), isas("vec", "vec"), "pages of shape"),
        (pages((4, 2, 64, 64)), pages(), isas("vec", "vec"), "pages of shape"),
        (pages((4, 32, 2, 128)).transpose(1, 2), pages((4, 32, 2, 128)).transpose(1, 2), isas("vec", "vec"), "strides"),
        (pages(device="meta"), pages(device="meta"), isas("vec", "vec"), "in meta memory"),
    ],
)
def test_anything_else_is_refused(first, second, layers, sentence):
    with pytest.raises(NotSupported, match="not supported yet") as raised:
        page_layout(model(), {"l.0": first, "l.1": second}, layers)
    assert sentence in str(raised.value)
