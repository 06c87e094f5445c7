"""The golden frames: what is on the wire today is what was on it yesterday, in both encodings."""

import json
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types; read once, below
import msgspec
import pytest

from connect.codec import Encoding, decode_client, decode_server, encode
from connect.frames import ClientFrame, ServerFrame
from sessions.commands import Command
from tests.wire.regenerate import FIXTURE, GOLDEN, files
from tests.wire.samples import CLIENT_FRAMES, COMMANDS, SERVER_FRAMES, names_of

FRAMES: dict[str, ClientFrame | ServerFrame] = {**CLIENT_FRAMES, **SERVER_FRAMES}


def golden_json(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8").removesuffix("\n")


def golden_msgpack(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.msgpack.hex").read_text())


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_written_as_its_golden_file_says(name: str) -> None:
    assert encode(FRAMES[name], Encoding.JSON).decode() == golden_json(name)
    assert encode(FRAMES[name], Encoding.MSGPACK) == golden_msgpack(name)


@pytest.mark.parametrize("name", FRAMES)
def test_a_golden_file_is_read_as_its_frame(name: str) -> None:
    text, packed = golden_json(name), golden_msgpack(name)
    if name in CLIENT_FRAMES:
        assert decode_client(text, Encoding.JSON) == CLIENT_FRAMES[name]
        assert decode_client(packed, Encoding.MSGPACK) == CLIENT_FRAMES[name]
    else:
        assert decode_server(text, Encoding.JSON) == SERVER_FRAMES[name]
        assert decode_server(packed, Encoding.MSGPACK) == SERVER_FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_another_msgpack_reads_the_same_value_as_any_json(name: str) -> None:
    unpacked: Any = msgpack.unpackb(golden_msgpack(name), raw=False, strict_map_key=True)
    assert unpacked == json.loads(golden_json(name))


@pytest.mark.parametrize("name", FRAMES)
def test_a_golden_file_has_no_field_that_its_frame_lacks(name: str) -> None:
    # Production passes over unknown fields; here a leftover of a renamed one must show.
    said = json.loads(golden_json(name))
    assert said == msgspec.json.decode(msgspec.json.encode(FRAMES[name]))
    assert said["type"] == FRAMES[name].__struct_config__.tag


def test_every_frame_and_every_command_has_a_golden_file() -> None:
    tags = {str(frame.__struct_config__.tag) for frame in FRAMES.values()}
    assert tags == names_of(ClientFrame) | names_of(ServerFrame)
    assert {str(command.__struct_config__.tag) for command in COMMANDS.values()} == names_of(Command)


def test_the_golden_folder_holds_what_regenerate_writes_and_nothing_else() -> None:
    wanted = files()
    assert {path.name for path in GOLDEN.iterdir()} == set(wanted)
    assert FIXTURE.read_text(encoding="utf-8") == wanted[FIXTURE.name]


def test_a_sample_leaves_no_field_out_that_has_a_value() -> None:
    """A field at its default in every sample could be dropped without any golden file noticing."""
    never_set: list[str] = []
    for tag in names_of(ClientFrame) | names_of(ServerFrame):
        of_tag = [frame for frame in FRAMES.values() if frame.__struct_config__.tag == tag]
        for field in msgspec.structs.fields(of_tag[0]):
            if not field.required and all(getattr(frame, field.name) == field.default for frame in of_tag):
                never_set.append(f"{tag}.{field.name}")
    assert never_set == []


def test_the_golden_folder_is_where_the_page_looks_for_it() -> None:
    assert Path(*FIXTURE.parts[-4:]) == Path("tests/wire/golden/frames.json")
    assert {"name", "from", "json", "msgpack_hex"} == set(json.loads(FIXTURE.read_text(encoding="utf-8"))[0])
