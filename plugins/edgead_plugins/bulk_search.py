"""The nearest rows of a memory bank, for many images' patches or for its own rows at once, in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgead_plugins.principal import principal_axes
from edgead_plugins.threads import threads

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

PRUNED_ROWS, PRUNED_DIMENSIONS = 8_192, 128
"""A bank of so many rows is searched in so many dimensions first; with fewer rows the whole product is as
fast."""

_QUERIES, _ROWS = 256, 2048  # one block of the matrix product: 2 MiB, small enough to stay in the cache
_PAIRS = 4096  # measured at once
_BOUNDS = 1 << 23  # bounds that a thread holds: 32 MiB, and a multiple where few rows can be ruled out


def nearest_rows(queries: Floats, bank: Floats, k: int = 1) -> tuple[Floats, Integers]:
    """Find the k nearest bank rows of each query, exactly up to float32.

    Ranked by one product and measured anew from the difference, as ``edgead_plugins.nearest`` does; the
    nearest one of many rows in a part of the dimensions first, see ``_pruned``.

    Args:
        queries: (m, dim) float32.
        bank: (n, dim) float32.
        k: 1 to n.

    Returns:
        Euclidean distances (m, k) float32, ascending, and rows (m, k).
    """
    dim = bank.shape[1]
    if k == 1 and len(bank) >= PRUNED_ROWS and dim >= 2 * PRUNED_DIMENSIONS:
        distance, index = _pruned(queries, bank)
        return distance[:, None], index[:, None]
    mean = bank.mean(0, dtype=np.float64).astype(np.float32)
    rows = np.empty((len(bank), dim + 1), np.float32)  # (b, -|b|²/2), for a product with (q, 1)
    np.subtract(bank, mean, out=rows[:, :-1])
    rows[:, -1] = -(rows[:, :-1].astype(np.float64) ** 2).sum(1) / 2
    distance = np.empty((len(queries), k), np.float32)
    index = np.empty((len(queries), k), np.int64)

    def find(_: int, part: slice) -> None:
        query = np.ones((part.stop - part.start, rows.shape[1]), np.float32)
        np.subtract(queries[part], mean, out=query[:, :-1])
        found = _best(query, rows, k)
        for at, some in enumerate(found):
            off = query[at, :-1] - rows[some, :-1]
            distance[part.start + at] = np.sqrt(np.einsum("kd,kd->k", off, off))
        index[part] = found

    with threads() as share:
        share(find, _blocks(len(queries), _QUERIES))
    order = np.argsort(distance, axis=1, kind="stable")
    return np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)


def _pruned(queries: Floats, bank: Floats) -> tuple[Floats, Integers]:
    """The nearest row of each query, without measuring those that fewer dimensions prove to be farther.

    With x = (x', x°), along the bank's first principal axes and across them, q.b is at most q'.b' + |q°||b°|
    (Cauchy-Schwarz): one product in few dimensions bounds all distances from below. The row with the best
    bound gives one from above, and only rows between the two are measured.

    Returns:
        Distances (m,) float32, and rows (m,).
    """
    mean = bank.mean(0, dtype=np.float64).astype(np.float32)
    rows = bank - mean
    axes = principal_axes(bank)[:, :PRUNED_DIMENSIONS].astype(np.float32)
    norms = _squares(rows)
    short = _shortened(rows, norms, axes, -norms / 2)
    # As in farthest_point: what float32's roundings can add up to, of the product and of each side's parts.
    slack = 4 * (bank.shape[1] + 16) * 2.0**-24
    longest = float(np.sqrt(norms.max()))
    distance, index = np.empty(len(queries), np.float32), np.empty(len(queries), np.int64)

    block = max(1, min(_QUERIES, _BOUNDS // len(rows)))

    def find(_: int, part: slice) -> None:
        query = queries[part] - mean
        squares = _squares(query)
        most = _shortened(query, squares, axes, np.ones(len(query))) @ short.T  # of q.b - |b|²/2
        nearest = most.argmax(1)
        least = _squares(query - rows[nearest])
        enough = (squares - least) / 2 - slack * (np.sqrt(squares) + longest) ** 2
        places = np.flatnonzero(most >= enough[:, None].astype(np.float32))
        at, row = np.divmod(places, len(rows))
        for some in _blocks(len(at), _PAIRS):
            apart = _squares(query[at[some]] - rows[row[some]])
            order = np.lexsort((row[some], apart, at[some]))
            asked, first = np.unique(at[some][order], return_index=True)
            apart, found = apart[order][first], row[some][order][first]
            better = (apart < least[asked]) | ((apart == least[asked]) & (found < nearest[asked]))
            least[asked[better]], nearest[asked[better]] = apart[better], found[better]
        distance[part], index[part] = np.sqrt(least), nearest

    with threads() as share:
        share(find, _blocks(len(queries), block))
    return distance, index


def _shortened(x: Floats, squares: Doubles, axes: Floats, last: Doubles) -> Floats:
    """(n, count + 2): x along ``axes`` (dim, count), its length across them, and a column of the caller's.

    The length is an upper bound: as the difference of two squares it may be rounded to 0, and a row that is
    a little way across the axes may be the nearest of one that is far across them.
    """
    dim, count = axes.shape
    short = np.empty((len(x), count + 2), np.float32)
    np.matmul(x, axes, out=short[:, :count])
    across = np.maximum(squares - _squares(short[:, :count]), 0)
    short[:, count] = np.sqrt(across + (dim + 16) * 2.0**-24 * squares)
    short[:, count + 1] = last
    return short


def _squares(x: Floats) -> Doubles:
    """(n,) squared lengths of rows (n, dim), up to float32."""
    squares: Doubles = np.einsum("nd,nd->n", x, x).astype(np.float64)
    return squares


def bank_neighbours(bank: Floats, count: int, which: Integers | None = None) -> NDArray[np.int32]:
    """(rows, count) int32: each bank row's nearest bank rows by Euclidean distance, itself first.

    Args:
        which: the rows that are asked for; all by default.
    """
    which = np.arange(len(bank)) if which is None else which
    centred = (bank - bank.mean(0)).astype(np.float32)
    norms = (centred * centred).sum(1)
    nearest = np.empty((len(which), count), np.int32)

    def find(_: int, rows: slice) -> None:
        here = which[rows]
        distance = centred[here] @ centred.T
        distance *= -2
        distance += norms
        distance[np.arange(len(here)), here] = -np.inf
        part = _smallest(distance, count)
        order = np.argsort(np.take_along_axis(distance, part, 1), axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(part, order, 1)

    block = max(1, 2**22 // len(bank))
    with threads() as share:
        share(find, (slice(start, start + block) for start in range(0, len(which), block)))
    return nearest


def _smallest(values: Floats, count: int) -> Integers:
    """Columns (n, count) of each row's smallest values, in no order.

    They are in the ``count`` groups with the smallest minima, so of many columns only those are sorted.
    """
    group = 64
    whole = values.shape[1] // group * group
    if whole <= 4 * count * group:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    minima = values[:, :whole].reshape(len(values), -1, group).min(2)
    kept = np.argpartition(minima, count - 1, axis=1)[:, :count]
    inside = (kept[:, :, None] * group + np.arange(group)).reshape(len(values), -1)
    rest = np.arange(whole, values.shape[1])[None].repeat(len(values), 0)
    columns = np.concatenate([inside, rest], axis=1)
    part = np.argpartition(np.take_along_axis(values, columns, 1), count - 1, axis=1)[:, :count]
    smallest: Integers = np.take_along_axis(columns, part, 1)
    return smallest


def _best(query: Floats, rows: Floats, k: int) -> Integers:
    """(m, k) rows of the highest products; of equal ones the first."""
    highest = np.full((len(query), k), -np.inf, np.float32)
    found = np.zeros((len(query), k), np.int64)
    for part in _blocks(len(rows), _ROWS):
        product = query @ rows[part].T
        if k == 1:
            at = product.argmax(1)[:, None]
            values = np.take_along_axis(product, at, 1)
            better = values > highest
            highest, found = np.where(better, values, highest), np.where(better, at + part.start, found)
            continue
        values = np.concatenate([highest, product], 1)
        at = np.argpartition(-values, k - 1, axis=1)[:, :k]
        highest = np.take_along_axis(values, at, 1)
        found = np.where(at < k, np.take_along_axis(found, np.minimum(at, k - 1), 1), at - k + part.start)
    return found


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


__all__ = ["bank_neighbours", "nearest_rows"]
