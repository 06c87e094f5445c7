"""Contexts that only their session knows: a list of tracks that a client gave."""

from sessions.inputs import Context
from sessions.state import ContextRef, Session


def own_context(ref: ContextRef | None) -> Context | None:
    """The context that `ref` holds itself; None when there is none or its URI says where it is to be had.

    Make it once per loading: the memo of shuffled orders goes by the identity of the items.
    """
    if ref is None or ref.uri is not None:
        return None
    return Context(uri=None, revision=ref.revision, items=ref.items)


def parked_context(session: Session) -> ContextRef | None:
    """What `restore_queue` would bring back; None when nothing is parked or it had no context."""
    return session.parked[-1].context if session.parked else None
