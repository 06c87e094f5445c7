"""The figures of `docs/performance.md`, measured: `python -m scripts.bench`. Loopback only."""
