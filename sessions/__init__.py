"""One listening session as values: lanes, playhead, commands, events, decide and apply.

Pure. Imports `catalog` and `kernel`; time, ids and `Random` come in as arguments.
"""
