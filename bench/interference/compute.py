"""What an engine computes, with the sizes of Llama 8B and random weights: a decode step and a prefill."""

import time

import torch

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 4096, 14336, 32, 32, 8, 128
DECODE_BATCH, PREFILL_TOKENS = 32, 4096
INPUTS, INPUT_BYTES = 8, 4096


class Model:
    """The matrix products of all layers; weights of bf16, about 13 GiB."""

    def __init__(self) -> None:
        def weight(inputs: int, outputs: int) -> torch.Tensor:
            return torch.randn(inputs, outputs, dtype=torch.bfloat16, device="cuda").mul_(inputs**-0.5)

        qkv = (HEADS + 2 * KV_HEADS) * HEAD_DIM
        self._layers = [
            (weight(HIDDEN, qkv), weight(HIDDEN, HIDDEN), weight(HIDDEN, 2 * INNER), weight(INNER, HIDDEN)) for _ in range(LAYERS)
        ]

    def forward(self, x: torch.Tensor, attend: bool) -> torch.Tensor:
        """x: [tokens][HIDDEN]. Without `attend` attention is left out: a decode step's reads little beside the weights."""
        for qkv, out, gate_up, down in self._layers:
            projected = x @ qkv
            attended = self._attention(projected) if attend else projected[:, :HIDDEN].contiguous()
            x = x + attended @ out
            gate, up = (x @ gate_up).chunk(2, dim=-1)
            x = x + (torch.nn.functional.silu(gate) * up) @ down
            x = torch.nn.functional.rms_norm(x, (HIDDEN,))
        return x

    @staticmethod
    def _attention(projected: torch.Tensor) -> torch.Tensor:
        tokens = projected.shape[0]
        heads = projected.view(tokens, HEADS + 2 * KV_HEADS, HEAD_DIM).transpose(0, 1).unsqueeze(0)
        q, k, v = heads.split([HEADS, KV_HEADS, KV_HEADS], dim=1)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return mixed.squeeze(0).transpose(0, 1).reshape(tokens, HIDDEN)


class Work:
    """One step as a CUDA graph, as engines run it."""

    def __init__(self, model: Model, tokens: int, attend: bool):
        self._x = torch.randn(tokens, HIDDEN, dtype=torch.bfloat16, device="cuda")
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(2):
                model.forward(self._x, attend)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            model.forward(self._x, attend)

    def steps(self, seconds: float) -> list[float]:
        """Seconds of every step, one after the other; the first is left out."""
        took_s = []
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            began_s = time.perf_counter()
            self._step()
            torch.cuda.current_stream().synchronize()
            took_s.append(time.perf_counter() - began_s)
        return took_s[1:]

    def _step(self) -> None:
        self._graph.replay()


class WorkWithInputs(Work):
    """An engine also sends block tables and positions to the GPU before a step and takes the sampled tokens back: small copies,
    which may have to wait behind large ones."""

    def __init__(self, model: Model, tokens: int, attend: bool):
        super().__init__(model, tokens, attend)
        self._host = [torch.zeros(INPUT_BYTES, dtype=torch.uint8, pin_memory=True) for _ in range(INPUTS)]
        self._device = [each.cuda() for each in self._host]

    def _step(self) -> None:
        for host, device in zip(self._host, self._device):
            device.copy_(host, non_blocking=True)
        super()._step()
        self._host[0].copy_(self._device[0], non_blocking=True)


def works() -> dict[str, Work]:
    model = Model()
    return {
        "decode": Work(model, DECODE_BATCH, attend=False),
        "decode with small copies": WorkWithInputs(model, DECODE_BATCH, attend=False),
        "prefill": Work(model, PREFILL_TOKENS, attend=True),
    }  # fmt: skip
