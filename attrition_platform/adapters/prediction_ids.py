"""Ids of predictions: they rise with time and no two processes make the same one.

The layout is that of UUID version 7 (RFC 9562, section 5.7) without the dashes: 48 bits of
milliseconds, the version, 12 random bits, the variant, 62 random bits of which the first starts at 0.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_VERSION = 7 << 76
_VARIANT = 2 << 62


def prediction_ids(clock: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Make a function that returns a new id at each call.

    Parameters
    ----------
    clock : callable
        Nanoseconds since 1970-01-01 UTC.

    Returns
    -------
    callable
        Its results have 32 hexadecimal digits; the first 12 are the milliseconds of the clock. They
        rise strictly within a process, also where the clock stands still or is set back.

    Examples
    --------
    >>> next_id = prediction_ids(clock=lambda: 1_760_000_000_000_000_000)
    >>> first, second = next_id(), next_id()
    >>> first[:13], len(first), first < second
    ('0199c82cc0007', 32, True)
    """
    lock = threading.Lock()
    last_millisecond, last, owner = -1, 0, -1

    def next_id() -> str:
        nonlocal last_millisecond, last, owner
        now = clock() // 1_000_000
        with lock:
            # A forked child starts with the parent's state and would go on to the parent's next id.
            if now > last_millisecond or owner != os.getpid():
                last_millisecond, owner = now, os.getpid()
                drawn = int.from_bytes(os.urandom(10), "big")
                high, low = drawn >> 68, drawn & ((1 << 61) - 1)
                last = last_millisecond << 80 | _VERSION | high << 64 | _VARIANT | low
            else:
                last += 1
            value = last
        return f"{value:032x}"

    return next_id
