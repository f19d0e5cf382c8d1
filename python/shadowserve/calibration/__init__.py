"""Offline calibration: what a model's KV cache tolerates, measured once, so that it can be stored in fewer bytes."""
