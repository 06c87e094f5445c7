"""One small real Ray for all cluster tests: starting one takes seconds, and tests need not own it."""

import socket
from collections.abc import Iterator

import pytest

from serve.local_ray import local_ray
from serve.settings import Settings

PORTS = 8
"""In a row: REST, the edge, and more hosts than a test starts."""


@pytest.fixture(scope="session")
def cluster_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of the one server that cluster tests may start, on ports that nobody uses."""
    return Settings.read(
        {}, data_dir=tmp_path_factory.mktemp("cluster"), http_port=_free_row(), hosts=2, log_level="warning"
    )


@pytest.fixture(scope="session")
def ray_cluster(cluster_settings: Settings) -> Iterator[None]:
    """Two cores' worth of Ray in this process's session. Ends what it started and nothing else."""
    with local_ray(cluster_settings, namespace="segue", num_cpus=2, log_to_driver=False):
        yield


def _free_row() -> int:
    for first in range(21_000, 29_000, PORTS):
        try:
            for port in range(first, first + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no row of free ports between 21000 and 29000")
