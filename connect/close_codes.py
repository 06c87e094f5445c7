"""Close codes: what ends a connection, and what the other side should do about it.

The number's range is the policy, so that a client need not know each code: 4000 to 4499 connect again, 4500
to 4999 do not, something has to change first. The numbers stand in the one table, `kernel.errors.TABLE`.
The close reason is `CODE` or `CODE <milliseconds>`: how long to wait before connecting again.
"""

from kernel.errors import TABLE, Code
from kernel.units import Millis

CLOSE_NORMAL = 1000
"""After a goodbye, or when the device was taken off the list: nobody connects again by itself."""
RECONNECT_FROM, RECONNECT_TO = 4000, 4499
REFUSED_FROM, REFUSED_TO = 4500, 4999


def close_code(code: Code) -> int:
    """The websocket close code of an error that ends the connection; such an error has one."""
    close = TABLE[code].close
    assert close is not None, f"{code} does not end a connection"
    return close


def close_reason(code: Code, retry_after_ms: Millis | None = None) -> str:
    """The reason sent with the close frame; always within its 123 bytes."""
    return str(code) if retry_after_ms is None else f"{code} {retry_after_ms}"


def parse_close_reason(reason: str) -> tuple[str, Millis | None]:
    """`(code, milliseconds to wait or None)`; lenient inverse of `close_reason`."""
    code, _, wait = reason.partition(" ")
    return code, Millis(int(wait)) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None


def should_reconnect(close: int) -> bool:
    """What a client does after a close it did not ask for. A lost connection (1006) counts as one to mend."""
    return close != CLOSE_NORMAL and not REFUSED_FROM <= close <= REFUSED_TO
