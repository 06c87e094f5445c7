"""The rules of the house that no linter knows, read off the tree itself (after TigerBeetle's tidy.zig).

Each test collects every place that breaks its rule, so that a failure reads as a list of what to mend.
"""

import ast
import asyncio
import importlib
import importlib.metadata
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DISTRIBUTION: str = PROJECT["project"]["name"]
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
PURE_PACKAGES = ("kernel", "catalog", "sessions", "playlists", "connect")
NOT_SHIPPED = ("scripts", "tests")

EXPECTED_ROOT = Path(os.environ.get("SEGUE_EXPECTED_ROOT", ROOT))
"""Where our packages must come from: the tree, or the environment that scripts/test-wheel made."""

NEVER_LISTED = frozenset({".git", ".venv", "node_modules", "dist", "data", "__pycache__", "test-results"})
"""Folders left out when there is no git to ask (an unpacked archive)."""


# ------------------------------------------------------------------------------------------- the tree


@cache
def tree() -> tuple[Path, ...]:
    """Every file that is, or would be, committed; relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and (ROOT / ".git").exists():
        found = {Path(name) for name in listing.stdout.split("\0") if name}
    else:
        found = {
            (Path(folder) / name).relative_to(ROOT) for folder, _, names in _walk(ROOT) for name in names
        }
    # A file deleted but not yet committed as such is still listed.
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in NEVER_LISTED and not name.endswith("_cache")]
        yield folder, folders, names


def texts() -> Iterator[tuple[Path, str]]:
    for path in tree():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8192]:
            yield path, content.decode("utf-8", errors="replace")


@cache
def modules(*folders: str) -> tuple[tuple[Path, ast.Module], ...]:
    return tuple(
        (path, ast.parse((ROOT / path).read_bytes(), filename=str(path)))
        for path in tree()
        if path.suffix == ".py" and path.parts[0] in folders
    )


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def offences(found: tuple[tuple[Path, ast.Module], ...], judge: Callable[[ast.AST], str | None]) -> list[str]:
    """`file:line: why` for each node that `judge` has something to say about."""
    return [
        f"{path}:{getattr(node, 'lineno', 1)}: {why}"
        for path, module in found
        for node in ast.walk(module)
        if (why := judge(node)) is not None
    ]


def lines_matching(pattern: re.Pattern[str], *, only: Callable[[Path], bool] = lambda _: True) -> list[str]:
    return [
        f"{path}:{number}: {match.group(0)}"
        for path, text in texts()
        if only(path)
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := pattern.search(line))
    ]


# ------------------------------------------------------------------------------------------ packaging


@pytest.mark.parametrize("name", PACKAGES)
def test_each_top_level_name_is_ours(name: str) -> None:
    owners = importlib.metadata.packages_distributions()  # an editable install is not listed, a wheel is
    assert set(owners.get(name, [])) <= {DISTRIBUTION}
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).is_relative_to(EXPECTED_ROOT), f"{name} comes from {file}, not from {EXPECTED_ROOT}"


@pytest.mark.tree
def test_the_wheel_lists_every_package_and_nothing_else() -> None:
    with_code = {path.parts[0] for path in tree() if len(path.parts) == 2 and path.name == "__init__.py"}
    assert sorted(with_code - set(NOT_SHIPPED)) == sorted(PACKAGES)


@pytest.mark.tree
def test_each_package_is_typed() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []


@pytest.mark.tree
def test_an_init_holds_a_docstring_and_nothing_else() -> None:
    assert [
        str(path)
        for path, module in modules(*PACKAGES, *NOT_SHIPPED)
        if path.name == "__init__.py" and (len(module.body) != 1 or not ast.get_docstring(module))
    ] == []


@pytest.mark.tree
def test_each_module_says_what_it_is_first() -> None:
    assert [
        str(path) for path, module in modules(*PACKAGES, *NOT_SHIPPED) if not ast.get_docstring(module)
    ] == []


@pytest.mark.tree
def test_no_module_is_named_after_the_standard_library_or_a_dependency() -> None:
    dependencies = {
        re.split(r"[\[<>=~; ]", line)[0].lower().replace("-", "_")
        for line in PROJECT["project"]["dependencies"]
    }
    taken = {name.lower() for name in sys.stdlib_module_names} | dependencies
    assert [
        str(path)
        for path in tree()
        if path.suffix == ".py" and path.parts[0] in PACKAGES and path.stem.lower() in taken
    ] == []


@pytest.mark.tree
def test_the_lock_names_each_dependency_with_hashes() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())
    locked = {block.split("==")[0]: block for block in blocks}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=~; ]", line)[0].lower() for line in wanted}
    assert sorted(names - locked.keys()) == []
    assert [name for name, block in locked.items() if "--hash=sha256:" not in block] == []


@pytest.mark.tree
def test_each_script_can_be_run_and_stops_at_the_first_error() -> None:
    scripts = [path for path in tree() if path.parts[0] in {"scripts", ".ci"} and not path.suffix]
    assert scripts
    assert [
        str(path)
        for path in scripts
        if not os.access(ROOT / path, os.X_OK) or "set -euo pipefail" not in (ROOT / path).read_text()
    ] == []


# ---------------------------------------------------------------------------------- what is committed

# Written in parts, so that this file does not break the rules it checks.
REGISTRIES = re.compile(
    "|".join(
        re.escape(host.replace("~", ""))
        for host in (
            "pypi~.org",
            "python~hosted",
            "registry.npm~js",
            "npm~mirror",
            "crates~.io",
            "proxy.go~lang",
        )
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$}<-])/(?:" + "wo" + "rk|ro" + r"ot)/")
UNFINISHED = re.compile(r"\b(?:" + "TO" + "DO|FIX" + "ME|XX" + r"X)\b")


@pytest.mark.tree
def test_no_file_names_a_registry() -> None:
    assert lines_matching(REGISTRIES) == []


@pytest.mark.tree
def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_matching(MACHINE_PATHS) == []


@pytest.mark.tree
def test_nothing_is_left_for_later() -> None:
    assert lines_matching(UNFINISHED) == []


@pytest.mark.tree
def test_what_ships_reads_nothing_outside_the_repository() -> None:
    beside = re.compile(re.escape("../sha" + "red"))
    assert lines_matching(beside, only=lambda path: path.parts[0] in {*PACKAGES, "web"}) == []


# --------------------------------------------------------------------------------------------- purity

IMPURE_CALLS = frozenset(
    [f"{name}.{how}" for name in ("datetime", "datetime.datetime") for how in ("now", "utcnow", "today")]
    + [
        "date.today",
        "datetime.date.today",
        "open",
        "print",
        "input",
        "breakpoint",
        "exec",
        "eval",
        "__import__",
    ]
)


def impurity(node: ast.AST) -> str | None:
    match node:
        case ast.ImportFrom(module="random", names=names) if {name.name for name in names} != {"Random"}:
            return "takes a global random function; a Random comes in as an argument"
        case ast.Import(names=names) if any(name.name.split(".")[0] in {"time", "uuid"} for name in names):
            return "imports a clock or a source of ids; both come in as arguments"
        case ast.ImportFrom(module="time" | "uuid"):
            return "imports a clock or a source of ids; both come in as arguments"
        case ast.Attribute(value=ast.Name(id="random"), attr=name) if name != "Random":
            return f"uses the global random.{name}; a Random comes in as an argument"
        case ast.Call(func=func, args=[]) if dotted(func) in {"Random", "random.Random"}:
            return "seeds a Random from the operating system"
        case ast.Call(func=func) if dotted(func) in IMPURE_CALLS:
            return f"calls {dotted(func)}"
        case ast.Call(func=ast.Name(id="hash")):
            return "calls hash(), which differs from process to process for text"
        case ast.Global():
            return "keeps state in a global"
        case _:
            return None


@pytest.mark.tree
def test_pure_packages_ask_no_clock_no_chance_and_no_machine() -> None:
    assert offences(modules(*PURE_PACKAGES), impurity) == []


@pytest.mark.parametrize(
    "source",
    [
        "from random import shuffle",
        "from random import Random, choice",
        "import random\nx = random.random()",
        "import time",
        "from time import monotonic",
        "from uuid import uuid4",
        "from random import Random\nr = Random()",
        "from datetime import datetime\nd = datetime.now()",
        "h = hash('a')",
        "f = open('x')",
        "def f():\n    global g",
    ],
)
def test_the_purity_check_sees_each_way_out(source: str) -> None:
    assert [why for node in ast.walk(ast.parse(source)) if (why := impurity(node))] != []


def test_the_purity_check_lets_a_given_random_and_a_given_time_pass() -> None:
    source = """
from random import Random
from datetime import UTC, datetime

def pick(rng: Random, names: list[str], now_ms: int) -> tuple[str, datetime]:
    return rng.choice(names), datetime.fromtimestamp(now_ms / 1000, tz=UTC)

SEEDED = Random(7)
"""
    assert [why for node in ast.walk(ast.parse(source)) if (why := impurity(node))] == []


# -------------------------------------------------------------------------------- one place for a thing


@pytest.mark.tree
def test_the_environment_is_read_in_the_settings_only() -> None:
    def reads(node: ast.AST) -> str | None:
        match node:
            case ast.Subscript(value=value, ctx=ast.Load()) if dotted(value) in {"os.environ", "environ"}:
                return "reads the environment"
            case ast.Call(func=func) if dotted(func) in {
                "os.getenv",
                "getenv",
                "os.environ.get",
                "environ.get",
            }:
                return "reads the environment"
            case _:
                return None

    settings = Path("serve/settings.py")
    assert offences(tuple(pair for pair in modules(*PACKAGES) if pair[0] != settings), reads) == []


@pytest.mark.tree
def test_a_frame_is_decoded_in_the_codec_only() -> None:
    def decodes(node: ast.AST) -> str | None:
        match node:
            case ast.Call(func=func) if re.fullmatch(
                r"(msgspec\.)?(msgpack|json)\.(Decoder|decode|loads|unpackb)", dotted(func)
            ):
                return f"calls {dotted(func)}"
            case _:
                return None

    codec = Path("connect/codec.py")
    assert offences(tuple(pair for pair in modules("connect", "client") if pair[0] != codec), decodes) == []


@pytest.mark.tree
def test_ray_serve_is_never_bound_to_the_name_of_our_package() -> None:
    def shadows(node: ast.AST) -> str | None:
        match node:
            case ast.ImportFrom(module="ray", names=names):
                for name in names:
                    if name.name == "serve" and name.asname in {None, "serve"}:
                        return "binds `serve` to Ray's; write `from ray import serve as ray_serve`"
            case _:
                pass
        return None

    assert offences(modules(*PACKAGES, *NOT_SHIPPED), shadows) == []


@pytest.mark.tree
def test_nothing_stops_every_ray_on_the_machine() -> None:
    assert lines_matching(re.compile(r"\bray sto" + r"p\b"), only=lambda path: path.suffix != ".md") == []


# --------------------------------------------------------------------------------- the wall around us


def test_a_socket_cannot_be_connected_or_bound_here() -> None:
    with socket.socket() as one, pytest.raises(RuntimeError, match="uses a socket"):
        one.connect(("127.0.0.1", 9))
    with socket.socket() as one, pytest.raises(RuntimeError, match="uses a socket"):
        one.bind(("127.0.0.1", 0))
    with pytest.raises(RuntimeError, match="uses a socket"):
        socket.create_connection(("127.0.0.1", 9))


async def test_an_event_loop_still_turns_here() -> None:
    assert await asyncio.to_thread(lambda: 7) == 7
    with pytest.raises(RuntimeError, match="uses a socket"):
        await asyncio.open_connection("127.0.0.1", 9)


def test_ray_cannot_be_started_here() -> None:
    with pytest.raises(RuntimeError, match="starts Ray"):
        importlib.import_module("ray").init(address="local")
