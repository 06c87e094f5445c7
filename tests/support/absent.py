"""What a test needs and this machine lacks: said and passed over on a laptop, a failure in CI."""

import os
from typing import NoReturn

import pytest


def absent(what: str) -> NoReturn:
    """End the test. `what` names the thing and the command that gets it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
