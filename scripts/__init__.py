"""Commands for people who work on Segue. Run as `python -m scripts.NAME` from the root; not in the wheel."""
