"""What the script in front of HAProxy makes of a configuration. No Ray, but real files and a shell."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.errors import Code, Rejected
from serve.ingress import environment
from serve.settings import Settings

CONFIG = """global
    maxconn 10
defaults
    mode http
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:9000
listen stats
  bind *:8404
"""


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """As `serve.local_ray` makes it: pytest's own folders have paths that are too long."""
    with tempfile.TemporaryDirectory(prefix="segue-", dir="/tmp") as folder:
        yield Path(folder)


def run_script(config: str, folder: Path, **settings: object) -> tuple[int, str, str]:
    """Exit status with `true` for HAProxy, what became of the configuration, what was said."""
    environ = environment(Settings.read({}, http_port=9000, **settings), folder)
    script = Path(environ["RAY_SERVE_HAPROXY_BINARY_PATH"])
    script.write_text(re.sub(r"^exec .*$", "exec true", script.read_text(), flags=re.MULTILINE))
    file = folder / "haproxy.cfg"
    file.write_text(config)
    done = subprocess.run(
        [script, "-db", "-f", file, "-dR"], check=False, capture_output=True, text=True, timeout=10
    )
    return done.returncode, file.read_text(), done.stderr


@pytest.mark.parametrize("bind_host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_only_the_public_port_is_opened_and_on_the_address_of_the_settings(
    run_folder: Path, bind_host: str
) -> None:
    status, config, said = run_script(CONFIG, run_folder, bind_host=bind_host)
    assert (status, said) == (0, "")
    assert re.findall(r"^ *bind (.*)$", config, flags=re.MULTILINE) == [
        f"unix@{run_folder}/metrics.sock",
        f"{bind_host}:9000",
        f"unix@{run_folder}/stats.sock",
    ]


def test_the_clients_address_is_handed_on(run_folder: Path) -> None:
    _, config, _ = run_script(CONFIG, run_folder)
    assert "defaults\n    option forwardfor\n" in config


def test_what_a_proxy_on_this_machine_says_of_the_client_stays(run_folder: Path) -> None:
    public = "https://music.example"
    _, config, _ = run_script(CONFIG, run_folder, public_url=public)
    assert "defaults\n    option forwardfor except 127.0.0.0/8\n" in config
    _, config, _ = run_script(CONFIG, run_folder, public_url=public, bind_host="::1")
    assert "defaults\n    option forwardfor except ::1\n" in config


def test_a_configuration_that_was_changed_already_is_taken_again(run_folder: Path) -> None:
    _, once, _ = run_script(CONFIG, run_folder)
    status, _, _ = run_script(once, run_folder)
    assert status == 0


@pytest.mark.parametrize("line", ["bind *:9443", "bind :80", "bind 0.0.0.0:9000", "bind /tmp/other.sock"])
def test_a_line_that_would_open_anything_else_starts_nothing(run_folder: Path, line: str) -> None:
    status, _, said = run_script(f"{CONFIG}frontend more\n    {line}\n", run_folder)
    assert status == 1
    assert line in said


def test_a_folder_whose_sockets_could_not_be_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refused:
        environment(Settings.read({}), tmp_path / ("long" * 20))
    assert refused.value.code is Code.BAD_REQUEST
    assert "107" in refused.value.message


def test_each_run_has_a_token_of_its_own(run_folder: Path) -> None:
    first, second = (environment(Settings.read({}), run_folder) for _ in range(2))
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
