"""Runs the Autobahn client suite against our websocket server; `scripts/conformance` installs the suite.

What is tested is `serve.sockets.serve_sockets` as every host runs it, with something behind it that sends
each message back, because that is what the suite's cases expect of a server. Left out are the cases whose
messages are larger than a host takes (9) and those of compression, which is off (12, 13).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, cast

from actors.host import EntityHost
from connect.codec import Encoding
from connect.frames import SUBPROTOCOL_MSGPACK
from kernel.errors import SegueError
from kernel.ids import HostId
from serve.sockets import SocketTransport, serve_sockets

CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
WITHIN_S = 300.0
ALLOWED: Mapping[str, str] = {
    "7.1.5": "data after a close frame may be ignored; `websockets` says why (its compliance/README.rst)",
}
"""Cases that may fail, and why."""
PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"})
"""Verdicts that are no failure; the middle ones are choices that the standard leaves open."""

Report = Mapping[str, Mapping[str, str]]
"""Case to its verdicts: `behavior` is of the messages, `behaviorClose` of the end of the connection."""


class EchoPeer:
    """What `serve_sockets` needs of a peer."""

    user_id = None

    def __init__(self, transport: SocketTransport) -> None:
        self.transport = transport

    def close(self, error: SegueError) -> None:
        self.transport.close(1011, error.message)


class EchoHost:
    """What `serve_sockets` needs of a host."""

    host_id = HostId("echo")

    def connected(self, transport: SocketTransport, _: Encoding) -> EchoPeer:
        return EchoPeer(transport)

    def receive(self, peer: EchoPeer, message: bytes | str) -> Awaitable[None] | None:
        data = message.encode() if isinstance(message, str) else message
        peer.transport.send(data, text=isinstance(message, str))
        return None

    def disconnected(self, peer: EchoPeer) -> None:
        """Nothing is kept."""


def failures(report: Report) -> list[str]:
    """One line for each case that failed and may not."""
    return [
        f"{case}: {verdicts['behavior']}, close {verdicts['behaviorClose']}"
        for case, verdicts in report.items()
        if case not in ALLOWED and not {verdicts["behavior"], verdicts["behaviorClose"]} <= PASSED
    ]


async def run_suite(python: str, suite: Path) -> Report:
    """The suite's own report; `suite` is an absolute path. Raises RuntimeError without one, TimeoutError."""
    server = await serve_sockets(
        cast(EntityHost, EchoHost()), bind_host="127.0.0.1", port=0, allowed_origins=()
    )
    port = next(iter(server.sockets)).getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        spec: dict[str, Any] = {
            "outdir": folder,
            "servers": [
                {"agent": "segue", "url": f"ws://127.0.0.1:{port}/", "protocols": [SUBPROTOCOL_MSGPACK]}
            ],
            "cases": CASES,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (Path(folder) / "spec.json").write_text(json.dumps(spec))
        program = await asyncio.create_subprocess_exec(
            *(python, "-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-s", f"{folder}/spec.json"),
            env={"PYTHONPATH": str(suite)},
            cwd=folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                status = await program.wait()
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
            server.close()
            await server.wait_closed()
        index = Path(folder) / "index.json"
        report: Report = json.loads(index.read_text()).get("segue", {}) if index.is_file() else {}
        if not report:
            raise RuntimeError(f"the suite ended with status {status} and without a report")
        return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="a Python 2.7")
    parser.add_argument("--suite", required=True, type=Path, help="folder that the suite is installed in")
    args = parser.parse_args()
    began_s = time.monotonic()
    report = asyncio.run(run_suite(args.python, args.suite.resolve()))
    elapsed_s = time.monotonic() - began_s
    counted = Counter(verdicts["behavior"] for verdicts in report.values())
    print(
        f"{len(report)} cases in {elapsed_s:.1f} s: "
        + ", ".join(f"{n} {what}" for what, n in sorted(counted.items()))
    )
    for case, why in ALLOWED.items():
        if case in report and report[case]["behavior"] not in PASSED:
            print(f"{case} failed, which is known: {why}")
    failed = failures(report)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
