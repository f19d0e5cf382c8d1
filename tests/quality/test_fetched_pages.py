"""Pages in the layout of an attention kernel are read as values and written back."""

from types import SimpleNamespace

import pytest
import torch

from shadowserve.quality.fetched_pages import FetchedPages

pytestmark = pytest.mark.quick

PAGE_TOKENS, HEADS, DIM = 16, 2, 32


@pytest.fixture
def connector():
    """What FetchedPages looks at of a connector: two layers of pages of vLLM's kernel "vec", full of distinct values."""
    shape = (8, HEADS, PAGE_TOKENS, 2 * DIM)
    count = 8 * HEADS * PAGE_TOKENS * 2 * DIM
    bits = [(torch.arange(count) % 30_000 + 0x0400 + layer).to(torch.int16).view(torch.bfloat16) for layer in range(2)]
    model = SimpleNamespace(
        page_tokens=PAGE_TOKENS, kv_heads=HEADS, head_dim=DIM, dtype=torch.bfloat16, latent=False, layer_names=("first", "second")
    )
    layers = {name: SimpleNamespace(isa="vec") for name in model.layer_names}
    config = SimpleNamespace(compilation_config=SimpleNamespace(static_forward_context=layers))
    return SimpleNamespace(_model=model, _pages=[each.reshape(shape).clone() for each in bits], _vllm_config=config)


def test_values_are_where_the_layout_says(connector):
    """Kernel "vec": of each head K at d * N + t, then V at t * D + d."""
    values = FetchedPages(connector).read([5, 2])
    assert values.shape == (2, 2, 2 * PAGE_TOKENS, HEADS * DIM)
    head, token, dim = 1, 3, 7
    page = connector._pages[1][2, head].flatten()  # the second page asked for
    found = values[1, :, PAGE_TOKENS + token, head * DIM + dim]
    assert found[0] == page[dim * PAGE_TOKENS + token].float()
    assert found[1] == page[PAGE_TOKENS * DIM + token * DIM + dim].float()


def test_what_was_read_is_written_back_bit_for_bit(connector):
    before = [layer.clone() for layer in connector._pages]
    pages = FetchedPages(connector)
    pages.write([5, 2], pages.read([5, 2]))
    assert all(torch.equal(a.view(torch.int16), b.view(torch.int16)) for a, b in zip(before, connector._pages))


def test_only_the_named_pages_change(connector):
    before = [layer.clone() for layer in connector._pages]
    pages = FetchedPages(connector)
    pages.write([5, 2], pages.read([5, 2]).flip(2))
    for old, new in zip(before, connector._pages):
        changed = [n for n in range(8) if not torch.equal(old[n].view(torch.int16), new[n].view(torch.int16))]
        assert changed == [2, 5]
