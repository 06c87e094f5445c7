"""Audio as files and bytes: probe, measure, transcode, package, manifests, leases.

Does I/O. Imports `sessions` and below; does not import its siblings `connect` and `storage`.
"""
