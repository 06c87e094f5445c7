"""A Ray of our own for as long as one run lasts: started with the right environment, gone afterwards.

With compiled bytecode it takes 6 to 8 s on two cores, nearly all of it Ray's helpers importing themselves.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ray
from ray._private import ray_constants
from ray._raylet import Config  # type: ignore[attr-defined]  # not in its stub

from serve.ingress import LOOPBACK, environment
from serve.settings import Settings

RUN_PARENT = Path("/tmp")  # unix sockets live below it, and their paths may have 107 characters
OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Nothing of ours goes through the object store; this is the least that Ray's parts are comfortable with."""


@contextmanager
def local_ray(
    settings: Settings, *, namespace: str, num_cpus: int | None = None, log_to_driver: bool = True
) -> Iterator[None]:
    """Runs the block with a Ray that this process started, reachable from this machine only where Ray can.

    `num_cpus`: what Ray may plan with; None is the machine's. `log_to_driver`: what actors write comes out
    here too. Ends Ray, and with it every actor and HAProxy.
    Raises Rejected as `serve.ingress.environment`.
    """
    # Ray Serve decides at import whether HAProxy is used, and here that would be too late.
    assert "ray.serve" not in sys.modules, "ray.serve was imported before its environment was set"
    run_folder = Path(tempfile.mkdtemp(prefix="segue-", dir=RUN_PARENT))
    try:
        with _environ(environment(settings, run_folder)):
            # Ray read its authentication mode when it was imported, which may have been before.
            Config.initialize("")
            _stay_on_loopback()
            ray.init(
                address="local",
                namespace=namespace,
                num_cpus=num_cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=log_to_driver,
                _node_ip_address=LOOPBACK,
            )
            try:
                yield
            finally:
                ray.shutdown()
    finally:
        shutil.rmtree(run_folder, ignore_errors=True)


def _stay_on_loopback() -> None:
    """Make `LOOPBACK` the node's address, so that each part of Ray listens there and nowhere else.

    On Linux Ray replaces a loopback address by the machine's own and then listens on every interface. It does
    not where it forms no clusters, as on macOS. This is that switch; Ray read its variable at import, too.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False


@contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.copy().get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
