"""What users may write in kv_connector_extra_config, and what they are told otherwise."""

import os

import pytest

from shadowserve.vllm.settings import Settings

pytestmark = pytest.mark.quick


def test_defaults_leave_the_limits_to_the_control_plane():
    options = Settings.from_extra_config({}).native_options("vllm worker", "ab" * 32, layers=2)
    assert options == {
        "client_name": "vllm worker", "model_fingerprint": "ab" * 32, "profile": "auto", "chunk_tokens": 256, "layers": 2,
    }  # fmt: skip


def test_units_are_converted():
    options = Settings.from_extra_config({"staging_mib": 64, "core": 0}).native_options("c", "f")
    assert options["staging_bytes"] == 64 << 20
    assert options["core"] == 1


def test_direct_pages_are_asked_for():
    assert "direct_pages" not in Settings.from_extra_config({}).native_options("c", "f")
    assert Settings.from_extra_config({"direct_pages": True}).native_options("c", "f")["direct_pages"] == 1


def test_a_plane_elsewhere_is_one_with_a_network_address(monkeypatch):
    monkeypatch.delenv("SHADOWSERVE_SOCKET", raising=False)
    assert Settings.from_extra_config({"socket": "tls://nic0:7601"}).plane_elsewhere
    assert not Settings.from_extra_config({"socket": "/run/plane.sock"}).plane_elsewhere
    assert not Settings.from_extra_config({}).plane_elsewhere
    monkeypatch.setenv("SHADOWSERVE_SOCKET", "tls://nic0:7601")
    assert Settings.from_extra_config({}).plane_elsewhere
    assert not Settings.from_extra_config({"socket": "/run/plane.sock"}).plane_elsewhere


def test_a_calibration_goes_along_with_what_it_has_to_fit():
    settings = Settings.from_extra_config({"profile": "balanced", "calibration": "~/tiny.cal"})
    options = settings.native_options("c", "f", "ab" * 32)
    assert options["calibration"] == os.path.expanduser("~/tiny.cal")
    assert options["weights_fingerprint"] == "ab" * 32
    assert "weights_fingerprint" not in settings.native_options("c", "f"), "nobody read the weights"


def test_a_network_address_comes_with_certificates_and_a_window(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    extra = {"socket": "tls://nic0:7601", "tls_certificate": "~/keys/engine.pem", "tls_key": "~/keys/engine.key",
             "tls_ca": "~/keys/ca.pem", "tls_name": "shadowserve-plane", "window": "/run/window.sock"}
    options = Settings.from_extra_config(extra).native_options("c", "f")
    assert options["socket_path"] == "tls://nic0:7601"
    assert options["tls_certificate"] == "/home/someone/keys/engine.pem"
    assert options["tls_key"] == "/home/someone/keys/engine.key"
    assert options["tls_ca"] == "/home/someone/keys/ca.pem"
    assert options["tls_name"] == "shadowserve-plane"
    assert options["window"] == "/run/window.sock"
    local = Settings.from_extra_config({}).native_options("c", "f")
    assert not any(key.startswith("tls_") or key == "window" for key in local)


@pytest.mark.parametrize(
    "extra, sentence",
    [
        ({"calibration": 5}, "'calibration' is 5"),
        ({"sokcet": "/run/x"}, "did you mean 'socket'"),
        ({"fetch_timeout": 5}, "did you mean 'fetch_timeout_ms'"),
        ({"zzz": 5}, "known are calibration, chunk_tokens"),
        ({"chunk_tokens": "256"}, "'chunk_tokens' is '256'; it has to be"),
        ({"save": 1}, "'save' is 1; it has to be"),
        ({"staging_mib": True}, "'staging_mib' is True"),
        ({"lookup_timeout_ms": 0}, "has to be positive"),
        ({"core": -1}, "cannot be negative"),
        ({"tenant_salt": "a", "tenant_salt_env": "B"}, "not both"),
        ({"tenant_salt_env": "SHADOWSERVE_TEST_NOT_SET"}, "not set in the environment"),
    ],
)
def test_mistakes_are_named(extra, sentence):
    with pytest.raises(ValueError, match="ShadowServe") as raised:
        Settings.from_extra_config(extra)
    assert sentence in str(raised.value)


def test_the_salt_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHADOWSERVE_TEST_SALT", "secret")
    settings = Settings.from_extra_config({"tenant_salt_env": "SHADOWSERVE_TEST_SALT"})
    assert settings.native_options("c", "f")["tenant_salt"] == "secret"
