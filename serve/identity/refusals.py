"""Refusals in OAuth's words (RFC 6749 §5.2, §4.1.2.1; RFC 8628 §3.5), inside our own tree of errors."""

from kernel.errors import TABLE, Code, Rejected, SegueError

INVALID_REQUEST = "invalid_request"
INVALID_CLIENT = "invalid_client"
INVALID_GRANT = "invalid_grant"
INVALID_SCOPE = "invalid_scope"
UNAUTHORIZED_CLIENT = "unauthorized_client"
UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
ACCESS_DENIED = "access_denied"
AUTHORIZATION_PENDING = "authorization_pending"
SLOW_DOWN = "slow_down"
EXPIRED_TOKEN = "expired_token"
TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"

_UNAUTHORIZED = frozenset({INVALID_CLIENT, INVALID_GRANT})


def refused(word: str, message: str) -> Rejected:
    """To raise."""
    code = Code.UNAUTHORIZED if word in _UNAUTHORIZED else Code.BAD_REQUEST
    return Rejected(code, message, {"error": word})


def word_of(error: SegueError) -> str:
    """OAuth's word for any error of ours."""
    named = error.details.get("error")
    if isinstance(named, str):
        return named
    if TABLE[error.code].retry:
        # RFC 6749 §5.2 has no word for "later"; §4.1.2.1 has.
        return TEMPORARILY_UNAVAILABLE
    return INVALID_GRANT if error.code is Code.UNAUTHORIZED else INVALID_REQUEST
