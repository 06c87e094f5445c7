"""The configuration of the proxy in front: what is printed, and what cannot be."""

from pathlib import Path

import pytest

from kernel.errors import Code, Rejected
from serve.front import proxy_config
from serve.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATE = "/etc/segue/music.example.pem"


def settings(**said: object) -> Settings:
    return Settings.read({}, public_url="https://music.example", **{"hosts": 2, **said})


@pytest.mark.tree
def test_the_file_in_deploy_is_what_is_printed_for_two_hosts() -> None:
    assert (ROOT / "deploy" / "haproxy.cfg").read_text() == proxy_config(settings(), certificate=CERTIFICATE)


def test_each_host_the_edge_and_serve_have_a_place_behind_it() -> None:
    config = proxy_config(settings(http_port=9000, hosts=3), certificate=CERTIFICATE, listen="192.0.2.1")
    assert "bind 192.0.2.1:443 ssl crt /etc/segue/music.example.pem" in config
    servers = [line.split()[1:] for line in config.splitlines() if line.startswith("    server ")]
    assert servers == [
        ["host-0", "127.0.0.1:9002"],
        ["host-1", "127.0.0.1:9003"],
        ["host-2", "127.0.0.1:9004"],
        ["edge", "127.0.0.1:9001"],
        ["serve", "127.0.0.1:9000"],
    ]


def test_what_listens_everywhere_is_reached_over_loopback() -> None:
    assert "server edge 127.0.0.1:8001" in proxy_config(settings(bind_host="0.0.0.0"), certificate="a.pem")
    assert "server edge ::1:8001" in proxy_config(settings(bind_host="::"), certificate="a.pem")


def test_without_a_public_address_there_is_nothing_to_configure() -> None:
    with pytest.raises(Rejected, match="SEGUE_PUBLIC_URL") as refused:
        proxy_config(Settings.read({}), certificate=CERTIFICATE)
    assert refused.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize("text", ["a b.pem", "a.pem\n    bind :80", "", "a#b"])
def test_words_that_haproxy_would_read_otherwise_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="certificate"):
        proxy_config(settings(), certificate=text)
    with pytest.raises(Rejected, match="listen address"):
        proxy_config(settings(), certificate=CERTIFICATE, listen=text)
