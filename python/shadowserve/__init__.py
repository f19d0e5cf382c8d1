"""ShadowServe: an interference-free distributed KV prefix cache for LLM serving."""

from shadowserve._native import version as _version

__version__ = _version()
