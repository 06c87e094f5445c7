"""Which process listens on a port: what Linux says in /proc, without asking anybody's permission for more."""

import os
from contextlib import suppress
from pathlib import Path

LISTENING = "0A"


def listener_pid(port: int) -> int:
    """Raises LookupError when nobody (of this user) listens there."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            for descriptor in (folder / "fd").iterdir():
                if os.readlink(descriptor) in wanted:
                    return int(folder.name)
    raise LookupError(f"nobody listens on port {port}")


def _inodes(port: int) -> list[str]:
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found
