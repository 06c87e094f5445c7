"""`if_queue_version`: an edit made against an older queue is refused, with what its author missed."""

from kernel.errors import Code, Rejected
from sessions.state import Session
from sessions.view import QueueVersion


def check_queue_version(session: Session, version: QueueVersion) -> None:
    """Raises Rejected QUEUE_VERSION_CONFLICT unless `version` is the queue's.

    `details.missing` lists the edits since then, oldest first, or is None when they are no longer known
    (another context was loaded, or too many edits ago) and the queue has to be read anew.
    """
    now = session.queue_version
    if version == now:
        return
    raise Rejected(
        Code.QUEUE_VERSION_CONFLICT,
        f"edit of queue version {version.major}.{version.minor} rejected: it is {now.major}.{now.minor}",
        {
            "queue_version": {"major": now.major, "minor": now.minor},
            "missing": _missing(session, version),
        },
    )


def _missing(session: Session, version: QueueVersion) -> list[dict[str, object]] | None:
    now = session.queue_version
    if version.major != now.major or version > now:
        return None
    edits = [edit for edit in session.edits if version < edit.version]
    if len(edits) != now.minor - version.minor:
        return None
    return [
        {
            "queue_version": {"major": edit.version.major, "minor": edit.version.minor},
            "op": edit.op,
            "uids": list(edit.uids),
        }
        for edit in edits
    ]
