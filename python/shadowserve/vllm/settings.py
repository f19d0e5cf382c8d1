"""What a user may write in kv_connector_extra_config, with defaults, and a clear error for everything else."""

import dataclasses
import difflib
import os
from typing import Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """One field a key. None means: the control plane's own default (include/shadowserve/shadowserve.h)."""

    socket: str | None = None
    """Path of the data plane's Unix socket, or tls://HOST:PORT of one on another machine; then the next five count."""
    tls_certificate: str | None = None
    """The engine's certificate: a PEM file, as the next two."""
    tls_key: str | None = None
    """Its private key."""
    tls_ca: str | None = None
    """The CA that signed it and the data plane's."""
    tls_name: str | None = None
    """What the data plane's certificate has to name; default: the HOST."""
    window: str | None = None
    """Socket on which the data plane takes the handle of the staging memory: what its --window says."""
    profile: str = "auto"
    """Codec profile: raw, int8, kv4, cachegen or generic, perhaps with a coder ("kv4+deflate"); or near, balanced, far. auto:
    balanced where there is a calibration of the model, else generic."""
    calibration: str | None = None
    """File that `shadowserve calibrate MODEL` made for this model: what the profiles near, balanced and far need."""
    tenant_salt: str | None = None
    """Secret: engines share records only when their salts are equal, and nobody without it can forge one."""
    tenant_salt_env: str | None = None
    """Name of the environment variable that holds tenant_salt, to keep it out of command lines."""
    chunk_tokens: int = 256
    """Tokens of a chunk: a multiple of the engine's block size; equal in all engines that share records."""
    lookup_timeout_ms: int | None = None
    """Afterwards a prompt counts as not stored."""
    fetch_timeout_ms: int | None = None
    """For a whole prefix; afterwards the rest of it is computed."""
    save_timeout_ms: int | None = None
    """Afterwards a save is dropped."""
    staging_mib: int | None = None
    """Memory shared with the data plane."""
    direct_pages: bool | None = None
    """For a KV cache on a GPU: parts are copied between host memory and its pages by DMA (true), or into staging memory on the GPU
    and on from there by a kernel (false). Default: what suits the pages."""
    core: int | None = None
    """Core that the worker's link thread, which places and gathers pages, is pinned to; best the data plane's."""
    min_fetch_tokens: int = 256
    """Fetch only when it saves computing at least so many tokens."""
    save: bool = True
    """Save computed chunks."""
    save_generated: bool = True
    """When a request finishes, also save the chunks that hold generated tokens, for the next turn of a chat."""
    model_fingerprint: str | None = None
    """Instead of reading the weights: any string that changes whenever the weights do."""

    @classmethod
    def from_extra_config(cls, extra: dict[str, Any]) -> "Settings":
        """Raises ValueError with a sentence that names the wrong key and, where there is one, the nearest right one."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key, value in extra.items():
            if key not in fields:
                nearest = difflib.get_close_matches(key, fields, n=1)
                hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; known are {', '.join(sorted(fields))}"
                raise ValueError(f"ShadowServe: unknown setting '{key}' in kv_connector_extra_config{hint}")
            _check_type(key, value, str(fields[key].type))
        settings = cls(**extra)
        settings._check_values()
        return settings._with_salt_from_environment()

    def _check_values(self) -> None:
        for key in ("chunk_tokens", "lookup_timeout_ms", "fetch_timeout_ms", "save_timeout_ms", "staging_mib"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ValueError(f"ShadowServe: setting '{key}' is {value}; it has to be positive")
        for key in ("core", "min_fetch_tokens"):
            value = getattr(self, key)
            if value is not None and value < 0:
                raise ValueError(f"ShadowServe: setting '{key}' is {value}; it cannot be negative")
        if self.tenant_salt is not None and self.tenant_salt_env is not None:
            raise ValueError("ShadowServe: give either 'tenant_salt' or 'tenant_salt_env', not both")

    def _with_salt_from_environment(self) -> "Settings":
        if self.tenant_salt_env is None:
            return self
        salt = os.environ.get(self.tenant_salt_env)
        if not salt:
            # An empty salt would silently share records with every other tenant that has none.
            raise ValueError(
                f"ShadowServe: 'tenant_salt_env' names {self.tenant_salt_env}, which is not set in the environment"
            )
        return dataclasses.replace(self, tenant_salt=salt)

    @property
    def plane_elsewhere(self) -> bool:
        """On another machine or a SmartNIC, which sees no memory of this one's GPUs."""
        return (self.socket or os.environ.get("SHADOWSERVE_SOCKET", "")).startswith("tls://")  # as the control plane finds it

    def native_options(
        self, client_name: str, fingerprint: str, weights_fingerprint: str | None = None, **shape: int
    ) -> dict[str, Any]:
        """The options dict of _native.Lookup and _native.Transfer; absent keys leave the C API's defaults."""
        options: dict[str, Any] = {
            "client_name": client_name,
            "model_fingerprint": fingerprint,
            "weights_fingerprint": weights_fingerprint,
            "profile": self.profile,
            "calibration": _path(self.calibration),
            "chunk_tokens": self.chunk_tokens,
            "socket_path": self.socket,
            "tls_certificate": _path(self.tls_certificate),
            "tls_key": _path(self.tls_key),
            "tls_ca": _path(self.tls_ca),
            "tls_name": self.tls_name,
            "window": _path(self.window),
            "tenant_salt": self.tenant_salt,
            "lookup_timeout_ms": self.lookup_timeout_ms,
            "fetch_timeout_ms": self.fetch_timeout_ms,
            "save_timeout_ms": self.save_timeout_ms,
            "staging_bytes": None if self.staging_mib is None else self.staging_mib << 20,
            "direct_pages": None if self.direct_pages is None else int(self.direct_pages),
            "core": None if self.core is None else self.core + 1,
            **shape,
        }
        return {key: value for key, value in options.items() if value is not None}


def _path(given: str | None) -> str | None:
    return None if given is None else os.path.expanduser(given)


def _check_type(key: str, value: Any, annotation: str) -> None:
    kinds = {"int": int, "bool": bool, "str": str, "None": type(None)}
    allowed = tuple(kinds[part] for part in annotation.replace("<class '", "").replace("'>", "").split(" | "))
    # bool is an int in Python; nobody means `true` milliseconds.
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise ValueError(f"ShadowServe: setting '{key}' is {value!r}; it has to be {annotation}")
