"""The first look at an update from outside, for a process that may die.

An update of 200 bytes with a good checksum can make Loro 1.17.1 ask for terabytes while it reads the
header, and Rust ends the process then: no exception, nothing to catch. Everything else seen goes wrong as a
panic, which the gate survives. So the bytes are decoded whole, in a document of their own, somewhere
expendable, before the process that holds playlists looks at them. The shell runs `screen` in a child, many
updates per call; a child that dies has answered: refuse with `died()`, and start another.
"""

from kernel.errors import Code, Rejected
from playlists.gate import refused
from playlists.loro_doc import BadUpdate, Broken, Replica, read_header


def screen(update: bytes) -> str | None:
    """What is wrong with the bytes, None when they can be read. No state: the document is not needed."""
    try:
        if not read_header(update).is_update:
            return "snapshots are not taken, only updates"
        Replica.empty().merge(update)
    except (BadUpdate, Broken) as error:
        return str(error)
    return None


def died() -> Rejected:
    """The answer to the author of an update that its screener did not survive."""
    return refused(Code.BAD_UPDATE, "it cannot be read")
