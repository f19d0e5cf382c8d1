"""Our page layouts against vLLM's own operator, which runs for every kernel on any x86 machine; and refusals."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402

from shadowserve.vllm.page_layout import page_layout, prove_layout  # noqa: E402
from shadowserve.vllm.served_model import NotSupported, ServedModel  # noqa: E402

pytestmark = [pytest.mark.quick, pytest.mark.skipif(ON_GPU, reason="these kernels are the CPU engine's")]

SHAPES = [(128, 4, 64), (32, 1, 256), (128, 8, 128), (64, 3, 96)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("page_tokens, kv_heads, head_dim", SHAPES)
@pytest.mark.parametrize("isa", ["vec", "vec16", "amx"])
def test_layout_is_the_kernels(isa, page_tokens, kv_heads, head_dim, dtype):
    if isa == "amx" and dtype is torch.float16:
        pytest.skip("vLLM's AMX kernel takes bfloat16 only")
    prove_layout(isa, isa, page_tokens, kv_heads, head_dim, dtype)


@pytest.mark.parametrize("head_dim", [80, 112])
def test_heads_that_are_no_multiple_of_32(head_dim):
    prove_layout("vec16", "vec16", 128, 2, head_dim, torch.bfloat16)


@pytest.mark.parametrize("ours, theirs", [("amx", "vec"), ("vec", "amx"), ("plain", "vec"), ("plain", "amx")])
def test_a_wrong_layout_is_noticed(ours, theirs):
    with pytest.raises(NotSupported, match=f"attention kernel '{theirs}'"):
        prove_layout(ours, theirs, 128, 4, 64, torch.bfloat16)


def model(**changes) -> ServedModel:
    fields = dict(
        name="m", fingerprint="0" * 64, weights_fingerprint=None, layer_names=("l.0", "l.1"), kv_heads=2, head_dim=64,
        page_tokens=32, dtype=torch.bfloat16,
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
