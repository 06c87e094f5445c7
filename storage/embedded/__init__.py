"""The embedded stores: SQLite and plain files in one folder, durable, shared by the processes of one machine.

`database.py` is the only file that runs SQLite and the only one that translates its errors.
"""
