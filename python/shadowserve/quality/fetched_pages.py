"""The pages of a fetched prefix as values, and back, whatever the layout of the engine's attention kernel is."""

from collections.abc import Sequence

import torch

from shadowserve import _native
from shadowserve.vllm.device_pages import kind_axis
from shadowserve.vllm.page_layout import LAYOUT_OF_ISA
from shadowserve.vllm.served_model import NotSupported


class FetchedPages:
    """Of a ShadowServeConnector in the worker, after register_kv_caches()."""

    def __init__(self, connector):
        self._model = connector._model
        if self._model.latent or self._model.dtype.itemsize != 2:
            raise NotSupported("measuring the quality of an fp8 or latent (MLA) cache", "choose raw, which loses nothing")
        self._layers: list[torch.Tensor] = connector._pages
        self._on_gpu = self._layers[0].is_cuda
        if not self._on_gpu:
            attention = connector._vllm_config.compilation_config.static_forward_context
            self._layout = LAYOUT_OF_ISA[attention[self._model.layer_names[0]].isa]

    def read(self, page_ids: Sequence[int]) -> torch.Tensor:
        """[layers, K|V, tokens, channels] float32: the tokens of these pages in their order."""
        return torch.stack([self._read_layer(layer, page_ids) for layer in self._layers]).float()

    def write(self, page_ids: Sequence[int], values: torch.Tensor) -> None:
        """values as read() gives them, rounded to the pages' element type."""
        for layer, plane in zip(self._layers, values.to(self._model.dtype), strict=True):
            self._write_layer(layer, page_ids, plane)

    def _sizes(self) -> tuple[int, int, int]:
        return self._model.page_tokens, self._model.kv_heads, self._model.head_dim

    def _shape(self, pages: int) -> tuple[int, ...]:
        tokens, heads, dim = self._sizes()
        return (pages, 2, tokens, heads * dim)

    def _read_layer(self, layer: torch.Tensor, page_ids: Sequence[int]) -> torch.Tensor:
        if self._on_gpu:
            found = self._by_page(layer)[list(page_ids)].reshape(self._shape(len(page_ids)))
        else:
            found = torch.empty(self._shape(len(page_ids)), dtype=layer.dtype)
            stride = layer.stride(1) * layer.element_size()
            for number, page in enumerate(page_ids):
                _native.gather_page(
                    self._layout, *self._sizes(), layer[page].data_ptr(), stride, found[number].data_ptr()
                )
        return found.transpose(0, 1).flatten(1, 2)

    def _write_layer(self, layer: torch.Tensor, page_ids: Sequence[int], plane: torch.Tensor) -> None:
        pages = plane.unflatten(1, (len(page_ids), -1)).transpose(0, 1).contiguous()  # [page, K|V, token, channel]
        if self._on_gpu:
            by_page = self._by_page(layer)
            by_page[list(page_ids)] = pages.reshape(len(page_ids), *by_page.shape[1:])
            return
        stride = layer.stride(1) * layer.element_size()
        for number, page in enumerate(page_ids):
            _native.place_page(self._layout, *self._sizes(), pages[number].data_ptr(), layer[page].data_ptr(), stride)

    def _by_page(self, layer: torch.Tensor) -> torch.Tensor:
        return layer.movedim(1 - kind_axis(self._model, self._model.layer_names[0], layer), 0)
