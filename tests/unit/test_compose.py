"""deploy/compose.yaml, read: there is no Docker here to start it with. It names what Segue takes."""

import re
from pathlib import Path

import msgspec
import pytest

from serve.settings import Settings
from storage.s3_blobs import parse_s3_url

FILE = Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml"
PASSWORD = "SEGUE_STORES_PASSWORD"

pytestmark = pytest.mark.tree


class Healthcheck(msgspec.Struct, forbid_unknown_fields=True):
    test: list[str]
    interval: str
    timeout: str
    retries: int


class Service(msgspec.Struct, forbid_unknown_fields=True):
    image: str
    restart: str
    command: list[str]
    environment: dict[str, str]
    ports: list[str]
    healthcheck: Healthcheck
    volumes: list[str] = []


class Compose(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    services: dict[str, Service]
    volumes: dict[str, None]


@pytest.fixture
def compose() -> Compose:
    return msgspec.yaml.decode(FILE.read_bytes(), type=Compose)


def test_it_starts_the_three_servers_that_a_url_can_name(compose: Compose) -> None:
    assert compose.services.keys() == {"mongo", "redis", "s3"}


def test_each_image_is_a_release_and_each_port_is_on_loopback(compose: Compose) -> None:
    for service in compose.services.values():
        assert re.fullmatch(r"[a-z/]+:v?[0-9]+(\.[0-9]+)+(-[a-z]+)?", service.image)
        assert all(port.startswith("127.0.0.1:") for port in service.ports)


def test_none_starts_without_a_password_that_somebody_chose(compose: Compose) -> None:
    for service in compose.services.values():
        assert any(value.startswith(f"${{{PASSWORD}:?") for value in service.environment.values())


def test_what_must_last_is_in_a_volume_that_is_declared(compose: Compose) -> None:
    named = [volume.partition(":")[0] for service in compose.services.values() for volume in service.volumes]
    assert sorted(named) == sorted(compose.volumes) == ["mongo", "s3"]


def test_the_urls_in_its_first_lines_are_ones_that_segue_takes(compose: Compose) -> None:
    said = dict(re.findall(r'^#   export (SEGUE_\w+_URL)="(\S+)"$', FILE.read_text(), re.MULTILINE))
    urls = {name: url.replace(f"${PASSWORD}", "hush") for name, url in said.items()}
    settings = Settings.read(urls)
    for name, url in (
        ("mongo", settings.mongo_url),
        ("redis", settings.redis_url),
        ("s3", settings.s3_url),
    ):
        assert url
        [port] = compose.services[name].ports
        assert f"@{port.rpartition(':')[0]}/" in url
    assert settings.s3_url
    assert parse_s3_url(settings.s3_url).bucket == "segue"
