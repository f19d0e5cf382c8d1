"""A peer of ShadowServe: the engine reads compressed KV from Redis itself and decompresses it on its own GPU.

What CacheGen does asynchronously, with today's fastest coders (nvCOMP's ANS or Deflate) and ShadowServe's own quantizer (profile
kv4), so that the two differ in one thing only: where decompression, dequantization and scattering run.

Reading order: connector (what vLLM calls), step_planner (beside the scheduler), loader (network to pages), store_reader,
chunk_codec (a chunk as bytes), nvcomp, quantized. `python -m gpu_decompress.trial` tries the parts on a GPU.
"""
