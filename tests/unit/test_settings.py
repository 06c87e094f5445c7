"""Settings: what is said wins in order, and what is wrong is said in one line."""

import pickle
from pathlib import Path

import pytest

from kernel.errors import Code, Rejected
from serve.settings import LogFormat, LogLevel, Settings
from storage.stores import StoreUrls


def test_nothing_said_gives_a_server_on_this_machine_alone() -> None:
    settings = Settings.read({})
    assert settings.data_dir == Path("data")
    assert (settings.bind_host, settings.http_url) == ("127.0.0.1", "http://127.0.0.1:8000")
    assert settings.hosts >= 1
    assert (settings.token_ttl_s, settings.ticket_ttl_s, settings.lease_s) == (3600, 60, 120)
    assert settings.allowed_origins == ("http://127.0.0.1:8000", "http://localhost:8000")


def test_an_argument_wins_over_the_environment_and_that_over_the_default() -> None:
    env = {"SEGUE_HTTP_PORT": "9000", "SEGUE_HOSTS": "3", "SEGUE_LOG_LEVEL": "", "UNRELATED": "x"}
    settings = Settings.read(env, http_port=9100, data_dir=Path("elsewhere"), hosts=None)
    assert (settings.http_port, settings.hosts) == (9100, 3)
    assert settings.data_dir == Path("elsewhere")
    assert settings.log_level is LogLevel.INFO


def test_every_setting_can_be_read_from_the_environment() -> None:
    said = {
        "data_dir": "/srv/segue",
        "bind_host": "0.0.0.0",
        "public_host": "Music.Example",
        "public_url": "https://Music.Example:443/",
        "http_port": "80",
        "hosts": "4",
        "allowed_origins": "https://music.example, http://127.0.0.1:5173",
        "token_ttl_s": "600",
        "ticket_ttl_s": "30",
        "lease_s": "60",
        "mongo_url": "mongodb://ann:secret@db.example/segue",
        "redis_url": "rediss://cache.example",
        "s3_url": "s3://music",
        "log_format": "JSON",
        "log_level": "debug",
    }
    assert said.keys() == set(Settings.__struct_fields__)
    settings = Settings.read({f"SEGUE_{name.upper()}": value for name, value in said.items()})
    assert settings == Settings(
        data_dir=Path("/srv/segue"),
        bind_host="0.0.0.0",
        public_host="music.example",
        public_url="https://music.example",
        http_port=80,
        hosts=4,
        allowed_origins=("https://music.example", "http://127.0.0.1:5173"),
        token_ttl_s=600,
        ticket_ttl_s=30,
        lease_s=60,
        mongo_url="mongodb://ann:secret@db.example/segue",
        redis_url="rediss://cache.example",
        s3_url="s3://music",
        log_format=LogFormat.JSON,
        log_level=LogLevel.DEBUG,
    )


def test_ports_and_addresses_follow_from_the_first() -> None:
    settings = Settings.read({}, http_port=9000, public_host="music.example", hosts=2)
    assert (settings.edge_port, settings.host_port(0), settings.host_port(1)) == (9001, 9002, 9003)
    assert settings.edge_url == "http://music.example:9001"
    assert settings.socket_url(1) == "ws://music.example:9003/"
    assert settings.allowed_origins == ("http://music.example:9000",)
    assert Settings.read({}, public_host="::1").http_url == "http://[::1]:8000"


def test_one_public_address_stands_in_every_url() -> None:
    settings = Settings.read({}, public_url="https://music.example:8443", hosts=2)
    assert settings.http_url == settings.edge_url == "https://music.example:8443"
    assert settings.socket_url(1) == "wss://music.example:8443/socket/host-1"
    assert settings.allowed_origins == ("https://music.example:8443",)
    assert settings.http_port == 8000, "the ports behind it stay"
    assert Settings.read({}, public_url="https://[::1]").socket_url(0) == "wss://[::1]/socket/host-0"


def test_settings_go_to_other_processes_as_they_are() -> None:
    settings = Settings.read({}, hosts=2)
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", "0"),
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("http_port", "8e3"),
        ("http_port", "٨٠٠٠"),
        ("http_port", "9" * 5000),
        ("hosts", "0"),
        ("hosts", "many"),
        ("hosts", "257"),
        ("public_host", "music example"),
        ("public_host", "http://music.example"),
        ("public_host", "-x"),
        ("public_host", "a\n"),
        ("public_url", "http://music.example"),
        ("public_url", "https://music.example/segue"),
        ("public_url", "https://music.example:0"),
        ("public_url", "https://ann@music.example"),
        ("allowed_origins", "*"),
        ("allowed_origins", "https://music.example/"),
        ("allowed_origins", "https://*.example"),
        ("allowed_origins", "https://music.example, music.example"),
        ("lease_s", "0"),
        ("lease_s", "1.5"),
        ("token_ttl_s", "59"),
        ("ticket_ttl_s", "601"),
        ("mongo_url", "db.example/segue"),
        ("mongo_url", "http://db.example"),
        ("mongo_url", "mongodb://"),
        ("redis_url", "redis:6379"),
        ("s3_url", "music"),
        ("log_format", "xml"),
        ("log_level", "loud"),
    ],
)
def test_a_bad_value_gives_one_line_that_names_it(name: str, value: str) -> None:
    in_env = f"{value}x" if value.endswith("\n") else value  # a shell's newline at the end is no fault
    for env, overrides in (({f"SEGUE_{name.upper()}": in_env}, {}), ({}, {name: value})):
        with pytest.raises(Rejected) as refused:
            Settings.read(env, **overrides)
        assert refused.value.code is Code.BAD_REQUEST
        assert name in refused.value.message.lower()
        assert "\n" not in refused.value.message
        assert "must be" in refused.value.message or "is not" in refused.value.message


def test_ports_that_do_not_fit_are_refused_together() -> None:
    assert Settings.read({}, http_port=65_532, hosts=2).host_port(1) == 65_535
    with pytest.raises(Rejected, match="the last port would be 65536"):
        Settings.read({}, http_port=65_532, hosts=3)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Rejected, match="there is no such setting"):
        Settings.read({}, http_prot=8000)


def test_a_password_in_a_url_that_is_refused_is_not_said() -> None:
    for field in ("mongo_url", "redis_url", "s3_url"):
        with pytest.raises(Rejected) as refused:
            Settings.read({}, **{field: "ftp://ann:hush/hush@db.example/segue"})
        assert "hush" not in refused.value.message
        assert "db.example" in refused.value.message


def test_what_has_no_url_is_embedded() -> None:
    assert Settings.read({}).store_urls == StoreUrls()
    assert Settings.read({"SEGUE_REDIS_URL": "redis://a"}).store_urls == StoreUrls(redis="redis://a")
