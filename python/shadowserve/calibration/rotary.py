"""How a model rotates its keys (RoPE), as seen in one forward pass, and the way back to un-rotated keys.

Every static kind of RoPE (plain, linear, Llama 3, YaRN, partial, another base in some layers) is the same thing here: a
list of angles per position, the channels it turns and how they are paired. A factor on cos and sin (YaRN) stays in.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Sequence

import torch

HALVES, NEIGHBOURS = 1, 2  # channel i turns with i + rotary_dim / 2, or 2i with 2i + 1
# Their angles depend on the length of the sequence: what was undone at saving could not be redone at placing.
MOVING_KINDS = ("dynamic", "longrope")


class UnknownRotation(ValueError):
    """The keys cannot be un-rotated, so this model cannot be calibrated yet."""


@dataclasses.dataclass(frozen=True)
class Rotation:
    """inverse_frequencies: radians per position, one for each pair of channels of a head."""

    inverse_frequencies: tuple[float, ...]
    pairing: int

    @property
    def rotary_dim(self) -> int:
        return 2 * len(self.inverse_frequencies)

    def partners(self) -> tuple[slice, slice]:
        """The channels of a head that turn together: the first of the pairs, and the second."""
        half = self.rotary_dim // 2
        if self.pairing == HALVES:
            return slice(0, half), slice(half, 2 * half)
        return slice(0, 2 * half, 2), slice(1, 2 * half, 2)

    def angles(self, positions: torch.Tensor) -> torch.Tensor:
        """[tokens] -> [tokens, rotary_dim / 2] in radians, float32 as models compute them."""
        frequencies = torch.tensor(self.inverse_frequencies, dtype=torch.float32, device=positions.device)
        return positions.to(torch.float32)[:, None] * frequencies[None, :]

    def rotate(self, keys: torch.Tensor, positions: torch.Tensor, backwards: bool = False) -> torch.Tensor:
        """keys [..., tokens, head_dim] turned by the angles of positions [tokens]. Gradients turn as keys do."""
        angles = self.angles(positions)
        cos, sin = angles.cos(), angles.sin() * (-1 if backwards else 1)
        turned = keys.clone()
        first, second = self.partners()
        a, b = keys[..., first], keys[..., second]
        turned[..., first] = a * cos - b * sin
        turned[..., second] = b * cos + a * sin
        return turned


def rotate_kv(
    kv: torch.Tensor,
    rotations: Sequence["Rotation | None"],
    kv_heads: int,
    first_position: int = 0,
    backwards: bool = False,
) -> torch.Tensor:
    """A copy of kv [layers, 2, tokens, channels], or of gradients in it, with keys turned as positions say."""
    tokens, channels = kv.shape[2:]
    positions = torch.arange(first_position, first_position + tokens, device=kv.device)
    turned = kv.clone()
    for layer, rotation in enumerate(rotations):
        if rotation is not None:
            keys = kv[layer, 0].reshape(tokens, kv_heads, channels // kv_heads).transpose(0, 1)
            keys = rotation.rotate(keys, positions, backwards).transpose(0, 1)
            turned[layer, 0] = keys.reshape(tokens, channels)
    return turned


@dataclasses.dataclass
class _Seen:
    """One call of the model's own rotation."""

    before: torch.Tensor  # [heads, tokens, rotated dims], batch removed
    after: torch.Tensor
    cos: torch.Tensor  # [tokens, rotary_dim]
    sin: torch.Tensor


def rotations_of(model, layers: int) -> list["Rotation | None"]:
    """For each layer its rotation, None where keys are not rotated. Raises UnknownRotation.

    Runs the model once on a few tokens, and checks that undoing what was found gives back the keys before rotation.
    """
    seen = _watch_rotations(model, layers)
    if not any(seen) and _frequency_buffers(model):
        raise UnknownRotation("the model rotates its keys in a way that cannot be seen (no apply_rotary_pos_emb)")
    found: dict[tuple, Rotation] = {}
    rotations = []
    for layer, call in enumerate(seen):
        rotation = None if call is None else _explain(call, _frequency_buffers(model), layer)
        rotations.append(None if rotation is None else found.setdefault(dataclasses.astuple(rotation), rotation))
    return rotations


def _frequency_buffers(model) -> list[torch.Tensor]:
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for kind in kinds.values() if isinstance(kinds, dict) else [kinds]:
            if kind in MOVING_KINDS:
                raise UnknownRotation(f"RoPE of kind '{kind}' has angles that depend on the sequence's length")
    names = [(name.rsplit(".", 1)[-1], buffer) for name, buffer in model.named_buffers()]
    return [buffer for name, buffer in names if name.endswith("inv_freq") and "original" not in name]


def _watch_rotations(model, layers: int) -> list["_Seen | None"]:
    """What the model's apply_rotary_pos_emb did to each layer's keys, in a forward pass of 24 tokens."""
    from transformers import DynamicCache

    last: list[_Seen] = []
    seen: list[_Seen | None] = [None] * layers

    class Watcher(DynamicCache):
        def update(self, key_states, value_states, layer_idx, *args, **kwargs):
            seen[layer_idx] = last.pop() if last else None
            last.clear()
            return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    def watched(function):
        def call(q, k, cos, sin, *args, **kwargs):
            rotated = function(q, k, cos, sin, *args, **kwargs)
            last.append(_Seen(k[0], rotated[1][0], cos.reshape(-1, cos.shape[-1]), sin.reshape(-1, sin.shape[-1])))
            return rotated

        return call

    tokens = torch.arange(1, 25, device=model.device)[None] % model.config.get_text_config().vocab_size
    with _replaced(model, "apply_rotary_pos_emb", watched), torch.no_grad():
        model(tokens, past_key_values=Watcher(), use_cache=True)
    return seen


@contextlib.contextmanager
def _replaced(model, name: str, wrap):
    """The function `name` of every Python module that defines parts of the model is wrapped for a while."""
    homes = {type(part).__module__ for part in model.modules()}
    homes = [sys.modules[home] for home in homes if hasattr(sys.modules[home], name)]
    originals = [getattr(home, name) for home in homes]
    for home, original in zip(homes, originals):
        setattr(home, name, wrap(original))
    try:
        yield
    finally:
        for home, original in zip(homes, originals):
            setattr(home, name, original)


def _explain(call: _Seen, buffers: list[torch.Tensor], layer: int) -> Rotation:
    """The rotation that undoes what was seen."""
    tokens = call.before.shape[-2]
    positions = torch.arange(tokens, device=call.before.device)
    factor = (call.cos.float() ** 2 + call.sin.float() ** 2).mean().sqrt()
    # Keys are compared in the model's element: 8 bits of a bfloat16, of sums of two products.
    tolerance = 4 * torch.finfo(call.after.dtype).eps * call.before.float().abs().max()
    for buffer in buffers:
        for pairing in (HALVES, NEIGHBOURS):
            rotation = Rotation(tuple(buffer.float().tolist()), pairing)
            if rotation.rotary_dim > call.before.shape[-1]:
                continue
            undone = rotation.rotate(call.after.float(), positions, backwards=True)
            turned = slice(0, rotation.rotary_dim)
            if (undone[..., turned] / factor - call.before[..., turned].float()).abs().max() <= tolerance:
                return rotation
    raise UnknownRotation(f"layer {layer}: the keys are not turned by the angles the model keeps in its buffers")
