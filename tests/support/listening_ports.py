"""Which TCP addresses a process listens on, and which processes came out of one: from /proc."""

import re
import socket
from pathlib import Path

PROC = Path("/proc")


def with_children(process_id: int) -> set[int]:
    """The process and all that descend from it and still run."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name in brackets may hold anything, so the fields after it are counted from its end.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
    family = {process_id}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def listeners(process_id: int) -> set[tuple[str, int]]:
    """Addresses of TCP sockets on which the process listens; none when it ended, or is somebody else's."""
    sockets = set()
    try:
        for descriptor in (PROC / str(process_id) / "fd").iterdir():
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                sockets.add(found[1])
    except OSError:
        return set()
    listening = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                # The kernel prints each 32 bits as a number of this machine, whose bytes are the other way.
                raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                named = socket.inet_ntop(family, raw).removeprefix("::ffff:")  # IPv4, on a socket for both
                listening.add((named, int(port, 16)))
    return listening
