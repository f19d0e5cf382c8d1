"""Which configurations are refused, and what the model's fingerprint depends on."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec, SlidingWindowSpec  # noqa: E402

from shadowserve.vllm.served_model import NotSupported, served_model  # noqa: E402
from shadowserve.vllm.settings import Settings  # noqa: E402

pytestmark = pytest.mark.quick


def config(model=None, parallel=None, cache=None, speculative=None):
    text_config = SimpleNamespace(rope_parameters={"rope_theta": 1e4}, sliding_window=None)
    fields = dict(
        model="/nowhere/m", revision=None, dtype=torch.bfloat16, quantization=None, hf_overrides={}, use_mla=False,
        is_encoder_decoder=False, hf_text_config=text_config, get_total_num_kv_heads=lambda: 8,
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
    assert model.native_shape() == {
        "layers": 2, "kv_heads": 4, "head_dim": 64, "element": 1, "planes_per_layer": 2
    }  # fmt: skip


def test_latent_attention_has_one_plane_a_layer():
    latent = spec(MLAAttentionSpec, num_kv_heads=1, head_size=576, block_size=16)
    model = served_model(config(model={"use_mla": True}), groups(latent), SETTINGS)
    assert model.latent and model.native_shape()["planes_per_layer"] == 1
    assert not served_model(config(), groups(spec()), SETTINGS).latent


@pytest.mark.parametrize("cache_dtype, number", [("fp8", 3), ("fp8_e4m3", 3), ("fp8_e5m2", 4)])
def test_fp8_caches_have_numbers_of_their_own(cache_dtype, number):
    model = served_model(config(cache={"cache_dtype": cache_dtype}), groups(spec(dtype=torch.uint8)), SETTINGS)
    assert model.native_shape()["element"] == number
    assert model.dtype is torch.uint8


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(parallel={"pipeline_parallel_size": 2}), "pipeline parallelism"),
        (dict(parallel={"tensor_parallel_size": 2, "decode_context_parallel_size": 2}), "context parallelism"),
        (dict(parallel={"prefill_context_parallel_size": 2}), "context parallelism"),
        (dict(parallel={"data_parallel_size": 2}), "data parallelism"),
        (dict(parallel={"distributed_executor_backend": "external_launcher"}), "external_launcher"),
        (dict(speculative=object()), "speculative decoding"),
        (dict(model={"is_encoder_decoder": True}), "encoder-decoder"),
        (dict(cache={"cache_dtype": "fp8_per_token_head"}), "kv_cache_dtype fp8_per_token_head"),
        (dict(cache={"cache_dtype": "fp8_ds_mla"}), "kv_cache_dtype fp8_ds_mla"),
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


def test_tensor_parallelism_is_fine():
    assert served_model(config(parallel={"tensor_parallel_size": 8}), groups(spec()), SETTINGS).kv_heads == 4


def test_scales_that_an_engine_makes_up_by_itself_are_refused():
    cache = {"cache_dtype": "fp8", "calculate_kv_scales": True}
    with pytest.raises(NotSupported, match="calculate_kv_scales"):
        served_model(config(cache=cache), groups(spec(dtype=torch.uint8)), SETTINGS)


def test_no_two_kinds_of_cache_have_a_key_in_common():
    """The same weights, tokens and profile: a hit across kinds must be impossible."""
    from shadowserve import _native

    kinds = {
        "bf16": ("auto", torch.bfloat16), "e4m3": ("fp8_e4m3", torch.uint8), "e5m2": ("fp8_e5m2", torch.uint8),
    }  # fmt: skip
    keys = {}
    for name, (cache_dtype, dtype) in kinds.items():
        model = served_model(config(cache={"cache_dtype": cache_dtype}), groups(spec(dtype=dtype)), SETTINGS)
        # Twice: with the model's own fingerprint, and with one for all, which leaves the element alone.
        for fingerprint in (model.fingerprint, "one for all"):
            options = {"model_fingerprint": fingerprint, "profile": "raw", **model.native_shape()}
            lookup = _native.Lookup(options)
            keys[name, fingerprint == model.fingerprint] = lookup.chain(None, list(range(512)))
            lookup.close()
    assert len(set(keys.values())) == 6
    same = served_model(config(cache={"cache_dtype": "fp8"}), groups(spec(dtype=torch.uint8)), SETTINGS)
    lookup = _native.Lookup({"model_fingerprint": same.fingerprint, "profile": "raw", **same.native_shape()})
    assert lookup.chain(None, list(range(512))) == keys["e4m3", True], "fp8 is another word for fp8_e4m3"
    lookup.close()


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
