"""Writes the golden files anew from the samples: `python -m tests.wire.regenerate`.

Only after a change of the protocol that is meant: the difference is what reviewers read.
"""

import json
from pathlib import Path

from connect.codec import Encoding, encode
from connect.frames import ClientFrame, ServerFrame
from tests.wire.samples import CLIENT_FRAMES, SERVER_FRAMES, plain

GOLDEN = Path(__file__).parent / "golden"
FIXTURE = GOLDEN / "frames.json"
"""All of them in one file, for whoever reads them in another language."""


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """The golden files by name, as they should be."""
    samples: dict[str, ClientFrame | ServerFrame] = {**CLIENT_FRAMES, **SERVER_FRAMES}
    written: dict[str, str] = {}
    fixture = []
    for name, frame in samples.items():
        packed = encode(frame, Encoding.MSGPACK).hex()
        written[f"{name}.json"] = encode(frame, Encoding.JSON).decode() + "\n"
        written[f"{name}.msgpack.hex"] = packed + "\n"
        sender = "client" if name in CLIENT_FRAMES else "server"
        fixture.append({"name": name, "from": sender, "json": plain(frame), "msgpack_hex": packed})
    return written | {FIXTURE.name: pretty(fixture)}


def main() -> None:
    wanted = files()
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files in {GOLDEN.name}/")


if __name__ == "__main__":
    main()
