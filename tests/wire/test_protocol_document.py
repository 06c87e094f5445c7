"""docs/protocol.md against the code: frames, maps, commands, codes and the numbers in its prose."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from connect import device_rules, frames, handoff, link, outbox, replay
from connect.clock import DRIFT_PPM_MAX, SAMPLES_MAX
from connect.codec import ENCODINGS, SERVER_FRAME_BYTES_MAX
from connect.frames import ClientFrame, Limits, ServerFrame
from kernel.errors import TABLE
from sessions import view
from sessions.commands import Command
from tests.wire.protocol_tables import fields_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="an installed wheel has no docs")

FRAMES: dict[str, type[msgspec.Struct]] = {
    str(struct.__struct_config__.tag): struct
    for union in (ClientFrame, ServerFrame)
    for struct in get_args(union)
}
MAPS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct
    for struct in (
        frames.DeviceInfo,
        frames.Capabilities,
        frames.Device,
        frames.Handoff,
        frames.Limits,
        frames.Resume,
        frames.Lease,
        frames.ErrorBody,
        view.QueueVersion,
        view.PlayerState,
        view.QueueItem,
        view.Reason,
        view.SleepTimer,
        view.HandoffResult,
    )
}


def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def rows(under: str) -> list[list[str]]:
    """The cells of the first table below a heading (or any line), without its head."""
    lines = text().split(under + "\n", 1)[1].splitlines()
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
        elif found or line.startswith("#"):
            break
    return found[2:]


def headings() -> list[str]:
    return re.findall(r"^#### (.+)$", text(), re.MULTILINE)


def test_every_frame_and_every_map_has_its_section_once() -> None:
    assert headings() == [f"`{name}`" for name in FRAMES] + list(MAPS)


@pytest.mark.parametrize("name", [*FRAMES, *MAPS])
def test_a_table_lists_the_fields_that_the_struct_has(name: str) -> None:
    struct, heading = (FRAMES[name], f"#### `{name}`") if name in FRAMES else (MAPS[name], f"#### {name}")
    written = [(cells[0].strip("`"), cells[1], cells[2]) for cells in rows(heading)]
    assert written == fields_of(struct)


def test_a_delta_has_the_fields_of_the_state_and_nothing_else() -> None:
    # The document says so instead of listing them a second time.
    names = {field.name for field in msgspec.structs.fields(view.PlayerState)}
    assert {field.name for field in msgspec.structs.fields(view.PlayerDelta)} <= names


def test_the_commands_are_listed_with_their_fields() -> None:
    written = {cells[0].strip("`"): cells[1] for cells in rows("## 5. Commands")}
    expected = {}
    for struct in get_args(Command):
        fields = (
            f"`{name}`: {kind}" + ("" if default == "–" else f" = {default}")
            for name, kind, default in fields_of(struct)
        )
        expected[str(struct.__struct_config__.tag)] = ", ".join(fields)
    assert written == expected


def test_the_codes_are_those_of_the_table() -> None:
    expected = []
    for code, meaning in TABLE.items():
        again = "yes" if meaning.retry else "no"
        expected.append([str(code), str(meaning.http), str(meaning.close or "–"), again, meaning.text])
    assert rows("## 9. Errors, limits and closing") == expected


def test_the_subprotocols_are_in_the_servers_order() -> None:
    assert re.findall(r"^ +\| `(segue\.v1\.\w+)` \|", text(), re.MULTILINE) == list(ENCODINGS)


def test_the_numbers_in_the_prose_are_those_of_the_code() -> None:
    limits, prose = Limits(), " ".join(text().split())
    burst = limits.frames_burst
    for sentence in (
        f"at most {limits.frame_bytes_max:,} bytes",
        f"a server's at most {SERVER_FRAME_BYTES_MAX >> 20} MiB",
        f"within {limits.hello_within_s} s. The server answers `welcome`",
        f"may send {limits.frames_per_s} frames a second, with bursts of {burst}",
        f"After {link.FLOOD_BURSTS * burst} refused frames (forgiven at {limits.frames_per_s // 2} a second)",
        f"said nothing for {link.SILENCE_S_MAX:.0f} s is closed with TIMEOUT",
        f"last {replay.PUSHES_MAX} durable pushes of a session are kept, up to {replay.BYTES_MAX >> 10} KiB",
        f"more than {outbox.HIGH_BYTES >> 10} KiB wait",
        f"fewer than {outbox.LOW_BYTES >> 10} KiB wait",
        f"drain within {outbox.LAGGING_S_MAX:.0f} s, or has more than {outbox.HARD_BYTES >> 20} MiB waiting",
        f"must send something every {device_rules.GRACE_AFTER_MS // 1000} s",
        f"sends a `ping` every {limits.ping_every_s} s",
        f"After {device_rules.OFFLINE_AFTER_MS // 1000} s the session is paused",
        f"After {device_rules.RELEASE_AFTER_MS // 1000} s, or at once after a goodbye",
        f"at most {device_rules.DEVICES_MAX} devices",
        f"adding {DRIFT_PPM_MAX / 1000:.1f} ms of error per second",
        f"the current item first, then the next {('zero', 'one', 'two', 'three')[limits.prefetch_items]}",
        f"A lease is good for {limits.lease_s} s",
        f"before `deadline_at_ms` ({handoff.DEADLINE_MS // 1000} s)",
        f"at most {handoff.ATTEMPTS_MAX} attempts",
        f"{handoff.LEAD_MS_MIN} ms)`",
        f"at most {handoff.LEAD_MS_MAX // 1000} s ahead",
        f"(at least {handoff.SHIFT_MS_MIN} ms)",
        f"not answered in {handoff.COMMIT_WITHIN_MS // 1000} s",
        f"silent {handoff.SILENT_AFTER_MS // 1000} s after `start_at_ms`",
        f"more than {handoff.MEASURE_MS_MAX // 1000} s off",
    ):
        assert sentence in prose, sentence
    assert SAMPLES_MAX == 8
    assert "keep the last eight results" in prose


def test_every_reason_a_handoff_can_give_is_in_the_table() -> None:
    source = Path(handoff.__file__).read_text(encoding="utf-8")
    given = set(re.findall(r'"(deadline|target_\w+|both_lost|stopped|superseded|store)"', source))
    assert len(given) == 8
    documented = {
        cells[2].strip("`")
        for cells in rows("The reply to the transfer comes when it is committed or has failed.")
    }
    assert given <= documented
