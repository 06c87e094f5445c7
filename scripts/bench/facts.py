"""What a figure means nothing without: the machine, and the versions of what ran on it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("ray", "websockets", "msgspec", "uvloop", "uvicorn", "httpx")


def facts() -> list[tuple[str, str]]:
    """`(name, value)` in the order they are shown."""
    return [
        ("CPU", _cpu()),
        ("cores", str(len(os.sched_getaffinity(0)))),
        ("memory", f"{_meminfo('MemTotal') / 2**30:.1f} GiB"),
        ("load before", f"{os.getloadavg()[0]:.2f}"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        *((name, _version(name)) for name in PACKAGES),
    ]


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _meminfo(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
