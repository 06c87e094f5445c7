"""`segue user` and `segue keys`, against the embedded stores in a folder of their own."""

import argparse
import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.units import Clock
from serve import admin_cli
from serve.accounts import Accounts
from serve.keys import KeyRing, Purpose
from serve.settings import Settings
from serve.up import first_admin
from storage.stores import open_stores
from tests.support.clock import FakeClock

PASSWORD = "correct horse"
Run = Callable[..., int]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def clock() -> Clock:
    return FakeClock()


@pytest.fixture
def run(settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, typed: str = "") -> int:
        parser = argparse.ArgumentParser()
        admin_cli.register(parser.add_subparsers(required=True))
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        args = parser.parse_args(words)
        code: int = args.handler(args, settings, clock)
        return code

    return run


def verified(settings: Settings, clock: Clock, username: str, password: str) -> bool:
    async def check() -> bool:
        stores = open_stores(settings.data_dir, clock)
        try:
            return await Accounts(stores.documents, clock).verify(username, password) is not None
        finally:
            await stores.close()

    return asyncio.run(check())


def test_an_account_is_made_listed_given_a_password_and_disabled(
    run: Run, settings: Settings, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(
        "user", "add", "ada", "--plan", "family", "--country", "nl", "--password-stdin", typed=f"{PASSWORD}\n"
    )
    assert made == 0
    assert verified(settings, clock, "ada", PASSWORD)
    assert run("user", "passwd", "Ada", "--password-stdin", typed="another horse\n") == 0
    assert verified(settings, clock, "ada", "another horse")
    assert run("user", "disable", "ada") == 0
    assert not verified(settings, clock, "ada", "another horse")
    capsys.readouterr()
    assert run("user", "list") == 0
    listed = capsys.readouterr().out
    for word in ("ada", "family", "NL", "disabled"):
        assert word in listed
    assert run("user", "enable", "ada") == 0
    assert verified(settings, clock, "ada", "another horse")


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (("user", "add", "a b", "--password-stdin"), PASSWORD, "username 'a b' rejected"),
        (("user", "add", "ada", "--plan", "gold", "--password-stdin"), PASSWORD, "plan 'gold' rejected"),
        (("user", "add", "ada", "--country", "XX", "--password-stdin"), PASSWORD, "country 'XX' rejected"),
        (("user", "add", "ada", "--password-stdin"), "short", "password of 5 characters rejected"),
        (("user", "add", "ada"), "", "there is no terminal to ask on"),
        (("user", "passwd", "bob", "--password-stdin"), PASSWORD, "'bob' asked for"),
        (("user", "disable", "bob"), "", "'bob' asked for"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], typed: str, said: str
) -> None:
    assert run(*words, typed=typed) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert error.startswith("segue: ")
    assert PASSWORD not in error


def test_no_accounts_says_how_to_make_one(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("user", "list") == 0
    assert "segue user add" in capsys.readouterr().out


def test_a_client_is_registered_listed_and_removed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("client", "list") == 0
    assert "segue client add" in capsys.readouterr().out
    uri = "https://app.example/callback"
    assert run("client", "add", "Tuner", "--redirect", uri, "--redirect", "http://127.0.0.1/cb") == 0
    told = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:2])
    assert len(told["client secret"]) == 43
    assert run("client", "add", "Player", "--public") == 0
    assert "secret" not in capsys.readouterr().out
    assert run("client", "list") == 0
    listed = capsys.readouterr().out
    for word in ("Tuner", uri, "http://127.0.0.1/cb", "confidential", "Player", "public"):
        assert word in listed
    assert told["client secret"] not in listed
    assert run("client", "remove", told["client id"]) == 0
    assert run("client", "remove", told["client id"]) == 1
    assert "there is none of that id" in capsys.readouterr().err
    assert run("client", "add", "Evil", "--redirect", "http://evil.example/") == 1
    assert "rejected" in capsys.readouterr().err


def test_logging_somebody_out_raises_their_epoch(
    run: Run, settings: Settings, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "add", "ada", "--password-stdin", typed=f"{PASSWORD}\n") == 0
    assert run("user", "logout", "ada") == 0
    assert run("user", "logout", "bob") == 1

    async def epoch() -> int:
        stores = open_stores(settings.data_dir, clock)
        try:
            account = await Accounts(stores.documents, clock).named("ada")
            assert account is not None
            return account.session_epoch
        finally:
            await stores.close()

    assert asyncio.run(epoch()) == 1


def test_the_first_start_makes_an_admin_whose_password_is_for_one_time(
    run: Run, settings: Settings, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def first_and_second() -> tuple[str | None, str | None]:
        stores = open_stores(settings.data_dir, clock)
        try:
            accounts = Accounts(stores.documents, clock)
            made = await first_admin(accounts), await first_admin(accounts)
            admin = await accounts.named("admin")
            assert admin is not None
            assert (admin.admin, admin.must_change) == (True, True)
            return made
        finally:
            await stores.close()

    password, again = asyncio.run(first_and_second())
    assert again is None
    assert password is not None
    assert len(password) >= 16
    assert run("user", "list") == 0
    assert "one-time password" in capsys.readouterr().out
    assert run("user", "passwd", "admin", "--password-stdin", typed=f"{PASSWORD}\n") == 0
    assert verified(settings, clock, "admin", PASSWORD)
    assert not verified(settings, clock, "admin", password)


def test_a_rotation_makes_the_key_that_running_servers_will_sign_with(
    run: Run, settings: Settings, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("keys", "rotate", "lease") == 0
    assert "lease-2 signs from now on" in capsys.readouterr().out

    async def signing() -> str:
        stores = open_stores(settings.data_dir, clock)
        try:
            ring = await KeyRing.open(stores.documents, clock, settings)
            return ring.of(Purpose.LEASE).signing_key()[0]
        finally:
            await stores.close()

    assert asyncio.run(signing()) == "lease-2"
