"""Entities that live: the turn, the host, ownership, references and the entity shells.

Does I/O. Imports `connect`, `storage`, `media` and below. `ray` is imported in `actors.cluster` only.
"""
