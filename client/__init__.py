"""The Python client: the same conversation from the device's side, for terminals, tests and load.

Does I/O. Imports `connect`, `sessions`, `catalog` and `kernel`, and never the server.
"""
