"""Random bytes of the system, in blocks: a call for each salt of an event costs more than the salts do."""

import os

_BLOCK = 4096
_rest: list[bytes] = []


def sixteen() -> bytes:
    """Sixteen bytes of `os.urandom` that nobody else gets."""
    try:
        # One operation of the list, so that two threads never get the same bytes.
        return _rest.pop()
    except IndexError:
        block = os.urandom(_BLOCK)
        _rest.extend(block[at : at + 16] for at in range(16, _BLOCK, 16))
        return block[:16]


# A forked process would hand out the same bytes as its parent.
os.register_at_fork(after_in_child=_rest.clear)
