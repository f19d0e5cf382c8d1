"""LMCache's connector for vLLM, with CacheGen's records stored at all.

LMCache 0.5.0 describes a coded chunk with one shape and no element types, and writing that description ends with an error that only
a warning tells (LMCache issue 2787): over Redis nothing is ever stored, and every request is computed. None is the element type
that LMCache itself has a number for.
"""

from lmcache.v1.memory_management import BytesBufferMemoryObj
from vllm.distributed.kv_transfer.kv_connector.v1.lmcache_connector import LMCacheConnectorV1

BytesBufferMemoryObj.get_dtypes = lambda self: [None]


class RepairedLMCacheConnector(LMCacheConnectorV1):
    """Nothing else is different."""
