"""Which Segue this is."""

from importlib.metadata import version

VERSION = version("segue")
