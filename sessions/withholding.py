"""What of a context its listener keeps from being played: explicit pieces, while their filter is on.

A context is shared by all who play it, so what one of them withholds is marked in a copy of theirs.
"""

from msgspec.structs import replace

from sessions.inputs import Context


def withholding(context: Context, *, explicit: bool) -> Context:
    """`context` with its explicit items withheld, or no longer; itself when nothing changes.

    The memo of shuffled orders goes by the identity of the items, so they are left alone where they can be.
    """
    if all(item.withheld == (explicit and item.explicit) for item in context.items):
        return context
    items = tuple(replace(item, withheld=explicit and item.explicit) for item in context.items)
    return replace(context, items=items)
