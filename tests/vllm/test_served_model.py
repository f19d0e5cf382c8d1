"""Which configurations are refused, and what the model's fingerprint depends on."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from vllm.v1.kv_cache_interface import FullAttentionSpec, SlidingWindowSpec  # noqa: E402

from shadowserve.vllm.served_model import NotSupported, served_model  # noqa: E402
from shadowserve.vllm.settings import Settings  # noqa: E402

pytestmark = pytest.mark.quick


def config(model=None, parallel=None, cache=None, speculative=None):
    text_config = SimpleNamespace(rope_parameters={"rope_theta": 1e4}, sliding_window=None)
    fields = dict(
        model="/nowhere/m", revision=None, dtype=torch.bfloat16, quantization=None, hf_overrides={}, use_mla=False,
        is_encoder_decoder=False, hf_text_config=text_config,
    )  # fmt: skip
    sizes = dict(tensor_parallel_size=1, pipeline_parallel_size=1, decode_context_parallel_size=1)
    return SimpleNamespace(
        model_config=SimpleNamespace(**(fields | (model or {}))),
        parallel_config=SimpleNamespace(**(sizes | (parallel or {}))),
        cache_config=SimpleNamespace(**({"cache_dtype": "auto"} | (cache or {}))),
        speculative_config=speculative,
    )


def spec(kind=FullAttentionSpec, **changes):
    return kind(**(dict(block_size=128, num_kv_heads=4, head_size=64, dtype=torch.bfloat16) | changes))


def groups(*kinds, layers=("model.layers.10.self_attn.attn", "model.layers.2.self_attn.attn")):
    return SimpleNamespace(
        kv_cache_groups=[SimpleNamespace(kv_cache_spec=kind, layer_names=list(layers)) for kind in kinds]
    )


SETTINGS = Settings(model_fingerprint="weights of today")


def test_layers_are_in_the_models_order():
    model = served_model(config(), groups(spec()), SETTINGS)
    assert model.layer_names == ("model.layers.2.self_attn.attn", "model.layers.10.self_attn.attn")
    assert model.native_shape() == {"layers": 2, "kv_heads": 4, "head_dim": 64, "element": 1}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(parallel={"tensor_parallel_size": 2}), "tensor parallelism"),
        (dict(parallel={"pipeline_parallel_size": 2}), "pipeline parallelism"),
        (dict(parallel={"decode_context_parallel_size": 2}), "context parallelism"),
        (dict(speculative=object()), "speculative decoding"),
        (dict(model={"use_mla": True}), "MLA"),
        (dict(model={"is_encoder_decoder": True}), "encoder-decoder"),
        (dict(cache={"cache_dtype": "fp8"}), "kv_cache_dtype fp8"),
    ],
)
def test_engines_that_are_refused(changes, sentence):
    with pytest.raises(NotSupported, match="not supported yet") as raised:
        served_model(config(**changes), groups(spec()), SETTINGS)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    "cache, sentence",
    [
        (groups(spec(), spec()), "2 KV cache groups"),
        (groups(spec(SlidingWindowSpec, sliding_window=512)), "SlidingWindowSpec"),
        (groups(spec(dtype=torch.float32)), "torch.float32"),
        (groups(spec(), layers=("model.layers.1.attn", "model.layers.1.cross")), "two KV caches in one layer"),
        (groups(spec(block_size=96)), "no multiple of the engine's block size"),
    ],
)
def test_caches_that_are_refused(cache, sentence):
    with pytest.raises(ValueError, match="ShadowServe") as raised:
        served_model(config(), cache, SETTINGS)
    assert sentence in str(raised.value)


def test_sliding_layers_kept_whole_are_fine():
    served_model(config(), groups(spec(sliding_window=512)), SETTINGS)


def test_the_fingerprint_binds_what_changes_kv():
    def fingerprint(settings=SETTINGS, **changes):
        return served_model(config(**changes), groups(spec()), settings).fingerprint

    same = fingerprint()
    assert fingerprint() == same and len(same) == 64
    different = [
        fingerprint(Settings(model_fingerprint="weights of tomorrow")),
        fingerprint(model={"quantization": "awq"}),
        fingerprint(model={"dtype": torch.float16}),
        fingerprint(model={"hf_overrides": {"rope_theta": 5e5}}),
        fingerprint(model={"hf_text_config": SimpleNamespace(rope_parameters={"rope_theta": 5e5})}),
    ]
    assert len({same, *different}) == 1 + len(different)


def test_the_weights_alone_have_the_fingerprint_that_calibrations_name(tmp_path):
    from shadowserve import _native

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.bin").write_bytes(b"w" * 1000)
    model = served_model(config(model={"model": str(tmp_path)}), groups(spec()), Settings())
    assert model.weights_fingerprint == _native.model_fingerprint(str(tmp_path))
    assert model.fingerprint != model.weights_fingerprint
    assert served_model(config(), groups(spec()), SETTINGS).weights_fingerprint is None, "they were not read"


def test_weights_that_cannot_be_read_are_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="set 'model_fingerprint'"):
        served_model(config(model={"model": str(tmp_path)}), groups(spec()), Settings())


def test_an_engine_with_a_wrong_setting_does_not_start():
    from shadowserve.vllm.connector import ShadowServeConnector
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole

    wrong = SimpleNamespace(kv_connector_extra_config={"sokcet": "/run/x"})
    for role in KVConnectorRole:
        with pytest.raises(ValueError, match="did you mean 'socket'"):
            ShadowServeConnector(SimpleNamespace(kv_transfer_config=wrong), role, groups(spec()))
