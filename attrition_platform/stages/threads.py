"""One thread for OpenMP and BLAS: both spin when cores are oversubscribed.

A boosting fit of one second was seen to take seventeen CPU seconds with two threads beside another
process. Parallel work that pays goes through joblib (the forest's trees), which does not spin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded_kernels() -> Iterator[None]:
    """Cap the thread pools of OpenMP and BLAS to one inside the block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
