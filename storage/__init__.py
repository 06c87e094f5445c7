"""Where things stay: the ports that promise it, and the adapters that keep the promise.

Does I/O. Imports `sessions` and below; does not import its siblings `connect` and `media`.
"""
