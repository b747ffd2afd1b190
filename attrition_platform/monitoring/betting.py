"""Evidence that may be looked at as often as one likes.

An e-process starts at 1 and, while the null hypothesis holds, has an expectation of at most 1 at every
stopping time. So it ever reaches ``1 / alpha`` with a chance of at most ``alpha`` (Ville 1939), however often
it is looked at; it is the wealth of a player who bets against the null at fair odds.

Sources: Waudby-Smith and Ramdas, JRSS B 86 (2024), on betting; Shekhar and Ramdas, IEEE Trans. Inf. Theory
70 (2024), on two samples; Turner, Ly and Grünwald, JSPI 230 (2024), on two proportions in blocks; Howard,
Ramdas, McAuliffe and Sekhon, Ann. Statist. 49 (2021), on mixtures over alternatives; Shin, Ramdas and
Rinaldo, NEJSDS 2 (2024), on alternatives that begin later.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Odds ratios that are bet on, and their shares of the stake: most on what is small enough to be missed.
WORSE: Final = (2.0, 3.0, 5.0, 9.0, 30.0)
WORSE_STAKES: Final = (0.15, 0.40, 0.25, 0.10, 0.10)
BETTER: Final = (0.6, 0.4, 0.2, 0.02)
BETTER_STAKES: Final = (0.25, 0.25, 0.25, 0.25)

# Share of the stake kept for an alternative that begins later, as when a canary breaks after an hour. It
# costs 2 % more requests where the canary is bad from the start.
LATE_STAKE: Final = 0.2


def one_per_client(hit: Bools, client: Ints, block_size: int) -> Bools:
    """Say which requests count when a client's hits come in bursts.

    Once a client had a hit, its next ``block_size - 1`` requests are not counted, in whichever arm they
    are: ten failures in a row count once. Requests without a hit all count. The rule doesn't read the arm,
    so under the null it does not change which arm a counted hit falls into; a rule for each arm apart would
    count a burst of nine stable requests and one canary request as one against one.

    Parameters
    ----------
    hit : ndarray of shape (n_requests,)
        Whether a request failed, was slow, ..., in time order.
    client : ndarray of shape (n_requests,)
        Who sent it, as codes 0, 1, ...
    block_size : int
        At most one hit in so many requests of a client.

    Returns
    -------
    ndarray of shape (n_requests,)
        True where a request counts; what is said of a request never depends on later ones.

    Examples
    --------
    >>> hit = np.array([False, True, True, True, False, True])
    >>> one_per_client(hit, np.zeros(6, dtype=np.int64), block_size=4)
    array([ True,  True, False, False, False,  True])
    """
    counted = np.ones(len(hit), dtype=np.bool_)
    concerned = np.zeros(int(client.max(initial=-1)) + 1, dtype=np.bool_)
    concerned[client[hit]] = True
    rows = np.flatnonzero(concerned[client])
    rows = rows[np.argsort(client[rows], kind="stable")]
    # Now each client's requests are beside each other, in time order.
    of = client[rows]
    hits = np.flatnonzero(hit[rows])
    ends = np.minimum(hits + block_size, np.searchsorted(of, of[hits], side="right"))
    silent = np.zeros(len(rows) + 1, dtype=np.int64)
    free = 0
    for start, end in zip(hits.tolist(), ends.tolist(), strict=True):
        if start >= free:
            silent[start + 1] += 1
            silent[end] -= 1
            free = end
    counted[rows] = np.cumsum(silent[:-1]) == 0
    return counted


def two_sample_bets(
    n_canary: Ints,
    canary_hits: Ints,
    n_stable: Ints,
    stable_hits: Ints,
    odds: tuple[float, ...],
    excess: float = 0.0,
) -> Floats:
    """Bet that the canary is hit by other odds than stable, stratum by stratum.

    A stratum is a run of requests, cut without regard to their arms. If the arms don't differ, each way of
    sharing its hits among its requests is equally likely, whatever the rate is in this stratum: an outage
    says nothing. The factor is the ratio of Fisher's noncentral to the central hypergeometric probability
    of the canary's hits, and its expectation is exactly 1.

    Parameters
    ----------
    n_canary, canary_hits, n_stable, stable_hits : ndarray of shape (..., n_strata)
        Requests and hits of each arm.
    odds : tuple of float
        Odds ratios to bet on: all above 1 or all below.
    excess : float
        Under the null the canary may (for odds below 1: must) hit so many more of the requests that stable
        would have spared: its rate is ``p + excess * (1 - p)`` where stable's is ``p``. The factor is the
        mean over adding such hits to stable's; a mean of e-values is one.

    Returns
    -------
    ndarray of shape (..., n_strata, n_odds)
        Logarithms of the factors.

    Examples
    --------
    >>> one = np.array([1])
    >>> bet = two_sample_bets(one, one, 9 * one, 0 * one, odds=(3.0,))
    >>> round(float(np.exp(bet)[0, 0]), 9)  # 3 / ((3 + 9) / 10)
    2.5
    """
    shape = np.shape(n_canary)
    counts = np.stack([np.ravel(a) for a in (n_canary, canary_hits, n_stable, stable_hits)])
    if counts.size == 0:
        return np.zeros((*shape, len(odds)))
    base = int(counts.max()) + 1
    _, first, where = np.unique(base ** np.arange(4)[::-1] @ counts, return_index=True, return_inverse=True)
    m, y, n, x = counts[:, first]
    log_odds = np.log(np.array(odds))
    found = _hypergeometric_bets(m, y, n, x, log_odds)
    if excess > 0.0:
        found = _over_added_hits(m, y, n, x, log_odds, excess)
    bets: Floats = found[where.ravel()].reshape(*shape, len(odds))
    return bets


def _over_added_hits(m: Ints, y: Ints, n: Ints, x: Ints, log_odds: Floats, excess: float) -> Floats:
    spared = n - x
    mean = int(spared.max()) * excess
    # What is cut off weighs under 1e-12, and leaving it out can only make the evidence smaller.
    most = min(int(spared.max()), int(mean + 10 * np.sqrt(mean) + 12))
    row, added = np.nonzero(np.arange(most + 1) <= spared[:, None])
    left = spared[row] - added
    log_factorial = _log_factorials(int(n.max()))
    weight = log_factorial[spared[row]] - log_factorial[added] - log_factorial[left]
    weight += added * np.log(excess) + left * np.log1p(-min(excess, 1.0 - 1e-15))
    bets = _hypergeometric_bets(m[row], y[row], n[row], x[row] + added, log_odds)
    starts = np.searchsorted(row, np.arange(len(m)))
    total: Floats = np.logaddexp.reduceat(weight[:, None] + bets, starts, axis=0)
    return total


def _hypergeometric_bets(m: Ints, y: Ints, n: Ints, x: Ints, log_odds: Floats) -> Floats:
    hits = y + x
    log_factorial = _log_factorials(int((m + n).max()))

    def choose(of: Ints, some: Ints) -> Floats:
        ways: Floats = log_factorial[of] - log_factorial[some] - log_factorial[of - some]
        return ways

    j = np.arange(int(np.minimum(m, hits).max()) + 1)
    possible = (j <= np.minimum(m, hits)[:, None]) & (hits[:, None] - j <= n[:, None])
    j_ok = np.where(possible, j, np.maximum(0, hits - n)[:, None])
    log_p = choose(m[:, None], j_ok) + choose(n[:, None], hits[:, None] - j_ok)
    p = np.where(possible, np.exp(log_p - choose(m + n, hits)[:, None]), 0.0)
    # Relative to the largest power, so that 30 ** 2000 does not overflow.
    top = np.maximum(j[-1] * log_odds, 0.0)
    bets: Floats = y[:, None] * log_odds - np.log(p @ np.exp(j[:, None] * log_odds - top)) - top
    return bets


def _log_factorials(largest: int) -> Floats:
    logs: Floats = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, largest + 1)))))
    return logs


def one_sample_bets(hit: Bools, rate: float, odds: tuple[float, ...]) -> Floats:
    """Bet that hits are more (odds above 1) or less (below 1) frequent than a fixed rate.

    Parameters
    ----------
    hit : ndarray of shape (n_votes,)
    rate : float
        The rate at the edge of the null, in [0, 1].
    odds : tuple of float
        Alternatives, as ratios of the odds to those of `rate`.

    Returns
    -------
    ndarray of shape (n_votes, n_odds)
        Logarithms of the likelihood ratios.
    """
    null = min(max(rate, 1e-9), 1 - 1e-9)
    ratio = np.array(odds)
    per_miss = 1.0 / (1.0 - null + ratio * null)
    bets: Floats = np.where(hit[:, None], np.log(ratio * per_miss), np.log(per_miss))
    return bets


def wealth(bets: Floats, stakes: tuple[float, ...], n_steps: int) -> Floats:
    """Wealth of a player who spreads stakes over alternatives and over the steps at which they may begin.

    Parameters
    ----------
    bets : ndarray of shape (..., n_seen, n_odds)
        Logarithms of the factors.
    stakes : tuple of float
        Share of the stake on each of the odds; they sum to 1.
    n_steps : int
        Over so many steps `LATE_STAKE` is spread; chosen before anything is seen.

    Returns
    -------
    ndarray of shape (..., n_seen)
        Logarithm of the e-process after each step.
    """
    n_seen = bets.shape[-2]
    if n_seen == 0:
        return np.zeros(bets.shape[:-1])
    total = np.cumsum(bets, axis=-2)
    before = total - bets
    begun = np.full(n_seen, LATE_STAKE / n_steps)
    begun[n_steps:] = 0.0
    waiting = np.maximum(LATE_STAKE - np.cumsum(begun), 0.0)
    begun[0] += 1.0 - LATE_STAKE
    with np.errstate(divide="ignore"):
        entered = np.log(begun)[:, None] - before
        log_waiting = np.log(waiting)
    each = total + np.logaddexp.accumulate(entered, axis=-2) + np.log(stakes)
    result: Floats = np.logaddexp(np.logaddexp.reduce(each, axis=-1), log_waiting)
    return result
