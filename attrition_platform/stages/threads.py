"""One thread budget per step: boosting and BLAS spin when cores are oversubscribed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_limit(n_threads: int) -> Iterator[None]:
    """Cap the thread pools of OpenMP and BLAS inside the block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n_threads):
        yield
