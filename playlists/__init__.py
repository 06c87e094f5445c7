"""Lists that many people edit at once: the Loro document, the gate before it, repairs, and who may do what.

Pure but for Loro, which `loro_doc` alone touches. Imports `catalog` and `kernel`; time, ids and randomness
are arguments.
"""
