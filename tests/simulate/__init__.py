"""The whole conversation in one process under a clock that a seed owns: hosts, stores, network, devices.

`python -m tests.simulate --seeds N --seed S` runs seeds; one seed with `--trace` shows what happened.
"""
