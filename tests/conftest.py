"""What all tests share: their order, the walls around the pure ones, how hard hypothesis looks, Chromium.

`tests/unit` and `tests/property` run behind a wall: whatever opens a socket or starts Ray there fails at
once, with a sentence that says where such a test belongs. They stay fast, since they cannot be anything else.
"""

import importlib.abc
import importlib.machinery
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests.support.absent import absent

TESTS = Path(__file__).resolve().parent

FOLDERS_IN_ORDER = ("unit", "property", "contract", "wire", "cluster", "fault", "browser")
"""Cheapest first: what is plainly broken shows before anything slow has started."""

WALLED_FOLDERS = frozenset({"unit", "property"})

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""As in scripts/services."""

# No deadline: on two shared cores an example's time says nothing about the code.
settings.register_profile("segue", deadline=None, max_examples=100)
# CI's verdict depends on the commit alone; the search for new examples happens on laptops and in `thorough`.
settings.register_profile("ci", settings.get_profile("segue"), derandomize=True, print_blob=True)
settings.register_profile(
    "thorough",
    settings.get_profile("segue"),
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "segue"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = _folder(item.path)
        return FOLDERS_IN_ORDER.index(folder) if folder in FOLDERS_IN_ORDER else len(FOLDERS_IN_ORDER)

    items.sort(key=place)  # stable: within a folder, pytest's own order


def _folder(path: Path) -> str:
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


@pytest.fixture(autouse=True)
def _wall(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes sockets and Ray raise in the walled folders; does nothing elsewhere."""
    folder = _folder(request.node.path)
    if folder not in WALLED_FOLDERS:
        yield
        return

    def refuse_socket(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(
            f"a test in tests/{folder} uses a socket; it belongs in contract, cluster or browser"
        )

    def refuse_ray(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(f"a test in tests/{folder} starts Ray; it belongs in tests/cluster")

    class RefuseRay(importlib.abc.MetaPathFinder):
        def find_spec(
            self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
        ) -> importlib.machinery.ModuleSpec | None:
            if fullname == "ray":
                refuse_ray()
            return None

    with pytest.MonkeyPatch.context() as patch:
        # Not the constructor: an event loop wakes itself through a socket pair, which goes nowhere.
        for verb in ("connect", "connect_ex", "bind", "listen"):
            patch.setattr(socket.socket, verb, refuse_socket, raising=False)
        for name in ("create_connection", "create_server", "getaddrinfo"):
            patch.setattr(socket, name, refuse_socket)
        if "ray" in sys.modules:
            patch.setattr("ray.init", refuse_ray)
        else:
            # Importing Ray takes more than a second: too much to pay in each run only to forbid it.
            patch.setattr(sys, "meta_path", [RefuseRay(), *sys.meta_path])
        yield


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium. Without one: skipped on a laptop, a failure where CI is set."""
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    return absent(f"none of {', '.join(CHROMIUM_NAMES)} is on the PATH; scripts/services install gets one")
