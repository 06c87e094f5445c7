"""Entity logs, ownership and documents in MongoDB, by inserts with unique keys and no transaction.

`database.py` is the only file that makes a client, declares indexes and translates the driver's errors.
Written for MongoDB's indexes; correct on FerretDB, which has no use for them.
"""
