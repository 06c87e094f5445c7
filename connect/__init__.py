"""The conversation with a device: frames, codec, link, device set, handoff, close codes.

Pure (sans-I/O). Imports `sessions`, `catalog` and `kernel`; a frame is decoded in `connect.codec` only.
Does not import its siblings `storage` and `media`.
"""
