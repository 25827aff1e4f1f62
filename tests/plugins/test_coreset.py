"""The fast selection against the obvious loop, pick by pick."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgead.errors import InputError, OptionError
from edgead_plugins import coreset, farthest_point
from edgead_plugins.coreset import greedy_coreset, random_projection, streaming_coreset
from edgead_plugins.farthest_point import FarthestPointSearch

Points = NDArray[np.float32]
RNG = np.random.default_rng(20)


def naive(points: Points, picks: int, start: int) -> list[int]:
    """The definition, as plainly as it can be written."""
    exact = points.astype(np.float64)
    distance = ((exact - exact[start]) ** 2).sum(axis=1)
    order = [start]
    while len(order) < picks and distance.max() > 0:
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, ((exact - exact[order[-1]]) ** 2).sum(axis=1))
    return order


def normal(*shape: int) -> Points:
    return RNG.standard_normal(shape).astype(np.float32)


def clustered() -> Points:
    return (RNG.integers(0, 12, (4000, 1)) * 50 + normal(4000, 24) * RNG.exponential(1, (4000, 1))).astype(
        np.float32
    )


CASES: dict[str, tuple[Points, int]] = {
    "random": (normal(5000, 48), 700),
    "low rank": (normal(5000, 3) @ normal(3, 64) + 0.01 * normal(5000, 64), 900),
    "clustered": (clustered(), 600),
    "far from the origin": (normal(3000, 16) + np.float32(1000), 400),
    "one outlier": (np.concatenate([normal(2000, 8), np.full((1, 8), 1e6, np.float32)]), 300),
    "duplicated": (np.repeat(normal(300, 20), 11, axis=0), 250),
    "duplicates run out": (np.repeat(normal(90, 20), 30, axis=0), 500),
    "integer grid": (RNG.integers(0, 4, (6000, 6)).astype(np.float32), 1500),
    "integer grid, all of it": (RNG.integers(0, 3, (3000, 4)).astype(np.float32), 3000),
    "plane grid": (np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2).astype("f4"), 1000),
    "constant": (np.full((500, 7), 0.3, np.float32), 20),
    "one dimension": (normal(4000, 1), 500),
    "one dimension, integers": (RNG.integers(0, 1000, (4000, 1)).astype(np.float32), 1200),
    "all points": (normal(400, 5), 400),
    "one point": (normal(1, 9), 1),
    "two points": (normal(2, 9), 2),
    "one pick": (normal(50, 9), 1),
    "tiny values": (normal(800, 10) * np.float32(1e-25), 200),
    "denormals": (normal(300, 10) * np.float32(1e-42), 100),
    "large values": (normal(800, 10) * np.float32(1e16), 200),
    "mixed scales": (normal(1500, 10) * (10.0 ** RNG.integers(-6, 6, (1500, 1))).astype(np.float32), 400),
    "equidistant": (np.eye(400, dtype=np.float32), 200),
    "wide": (normal(300, 2000), 120),
}


@pytest.mark.parametrize("name", CASES)
def test_same_picks_as_the_naive_loop(name: str) -> None:
    points, picks = CASES[name]
    for start in {0, len(points) - 1, len(points) // 3}:
        found = greedy_coreset(points, picks, start=start)
        assert found.dtype == np.int64
        assert found.tolist() == naive(points, picks, start)


@pytest.mark.parametrize("seed", range(4))
def test_same_picks_with_blocks_so_small_that_every_seam_shows(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    for constant, value in {"_ROWS": 37, "_COLUMNS": 11, "_CANDIDATES": 50, "_CHUNKS": 3 + seed}.items():
        monkeypatch.setattr(farthest_point, constant, value)
    for points in (
        rng.standard_normal((900, 1 + 5 * seed)).astype(np.float32),
        rng.integers(0, 4, (900, 5)).astype(np.float32),
        np.repeat(rng.standard_normal((150, 8)), 5, axis=0).astype(np.float32),
    ):
        assert greedy_coreset(points, 400, start=seed).tolist() == naive(points, 400, seed)


def test_same_picks_when_rounding_is_as_bad_as_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products may be off by their error bound, in either direction, and nothing changes."""
    points = normal(1500, 12)
    expected = naive(points, 300, 5)
    plain = np.matmul

    def rough(a: Points, b: Points, out: Points) -> None:
        plain(a, b, out=out)
        norms = (a[:, :-1].astype(np.float64) ** 2).sum(1)[:, None], ((b[:-1] / 2) ** 2).sum(0)[None]
        bound = 12 * 2.0**-24 * (np.sqrt(norms[0]) + np.sqrt(norms[1])) ** 2
        out += (bound * RNG.choice([-1, 1], out.shape)).astype(np.float32)

    monkeypatch.setattr(np, "matmul", rough)
    assert greedy_coreset(points, 300, start=5).tolist() == expected


def test_radii_are_what_they_say() -> None:
    points = normal(700, 6)
    search = FarthestPointSearch(points, 90, 3)
    search.run(lambda done: None)
    for i in (1, 2, 40, 89):
        assert (
            search.radii[i]
            == (((points[search.picks[:i]] - points[search.picks[i]].astype("f8")) ** 2).sum(1)).min()
        )


def test_same_picks_on_real_features(shared_data: Path) -> None:
    """Dense gradients of real images: correlated, clustered, half of them nearly equal."""
    files = sorted((shared_data / "kolektor_sdd" / "train" / "good").iterdir())[:6]
    maps = []
    for file in files:
        image = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (128, 128)).astype(np.float32)
        blurred = [cv2.GaussianBlur(image, (0, 0), s) for s in (1, 2, 4)]
        maps.append(
            np.stack(
                [image, *blurred, *(cv2.Sobel(b, -1, *d, ksize=3) for b in blurred for d in ((1, 0), (0, 1)))]
            )
        )
    cells = np.stack(maps).reshape(6, 10, 32, 4, 32, 4).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 160)
    points = np.ascontiguousarray(cells)
    assert greedy_coreset(points, 614, start=7).tolist() == naive(points, 614, 7)


def test_strided_and_mapped_points(tmp_path: Path) -> None:
    points = normal(600, 10)
    expected = naive(points, 60, 0)
    assert greedy_coreset(np.asfortranarray(points), 60, start=0).tolist() == expected
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    assert greedy_coreset(mapped, 60, start=0).tolist() == expected


def test_memory_is_as_documented() -> None:
    points = normal(60_000, 32)
    tracemalloc.start()
    greedy_coreset(points, 3000, start=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < farthest_point.search_bytes(60_000, 3000, 32)


class Recorder:
    """A progress that counts, and interrupts when told to."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.total, self.done, self.closed, self.interrupt_at = 0, 0, False, interrupt_at

    @contextmanager
    def __call__(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        self.total = total or 0
        try:
            yield self.advance
        finally:
            self.closed = True

    def advance(self, done: int) -> None:
        self.done += done
        if self.interrupt_at is not None and self.done >= self.interrupt_at:
            raise KeyboardInterrupt


def test_progress_counts_the_picks() -> None:
    progress = Recorder()
    greedy_coreset(normal(900, 4), 200, start=0, progress=progress)
    assert (progress.total, progress.done, progress.closed) == (200, 200, True)


def test_an_interrupt_passes() -> None:
    progress = Recorder(interrupt_at=50)
    with pytest.raises(KeyboardInterrupt):
        greedy_coreset(normal(6000, 8), 1500, start=0, progress=progress)
    assert progress.closed and progress.done < 1500


@pytest.mark.parametrize(
    ("points", "picks", "start", "error", "message"),
    [
        (normal(5, 2), 6, 0, OptionError, "picks is 6: choose 1 to 5"),
        (normal(5, 2), 0, 0, OptionError, "picks is 0: choose 1 to 5"),
        (normal(5, 2), 2, 5, OptionError, "start is 5: choose 0 to 4"),
        (normal(5, 2), 2, -1, OptionError, "start is -1"),
        (normal(5, 2).astype(np.float64), 2, 0, InputError, "float32"),
        (normal(5), 2, 0, InputError, r"\(N, D\)"),
        (normal(5, 0), 2, 0, InputError, "filled"),
        (np.array([[0, 1], [np.nan, 0]], np.float32), 1, 0, InputError, "NaN"),
        (np.array([[0, 1], [np.inf, 0]], np.float32), 1, 0, InputError, "NaN, infinity"),
        (np.array([[0, 1], [1e19, 0]], np.float32), 1, 0, InputError, "1e18"),
    ],
)
def test_bad_input(points: Points, picks: int, start: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        greedy_coreset(points, picks, start=start)
    assert "\n" not in str(caught.value)


def test_random_projection_is_the_official_one() -> None:
    matrix = random_projection(384, 128, seed=1)
    assert matrix.shape == (384, 128) and matrix.dtype == np.float32
    assert np.abs(matrix).max() <= 384**-0.5
    assert matrix.std() == pytest.approx(384**-0.5 / 3**0.5, rel=0.01)  # uniform
    assert abs(matrix.mean()) < 0.001
    assert np.array_equal(matrix, random_projection(384, 128, seed=1))
    assert not np.array_equal(matrix, random_projection(384, 128, seed=2))


def in_chunks(points: Points, size: int) -> Callable[[], Iterator[Points]]:
    return lambda: (points[i : i + size] for i in range(0, len(points), size))


def covering_radius(points: Points, picks: NDArray[np.int64]) -> float:
    exact = points.astype(np.float64)
    return float(max(((row - exact[picks]) ** 2).sum(1).min() for row in exact) ** 0.5)


def test_streaming_is_exact_where_all_fits() -> None:
    points = normal(1000, 8)
    for size in (1000, 64, 1):
        found = streaming_coreset(in_chunks(points, size), 1000, 90, 1 << 30, start=11)
        assert found.tolist() == naive(points, 90, 11)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts points only, so that a small test needs several groups."""
    monkeypatch.setattr(coreset, "search_bytes", lambda points, picks, dim: 100 * points)


@pytest.mark.usefixtures("small_memory")
def test_streaming_in_groups_keeps_its_guarantee() -> None:
    points = np.sort(clustered(), axis=0)  # every group sees another part of the space
    picks = 200
    for groups in (2, 4, 9):
        size = -(-4000 // groups)
        memory = size * (100 + 4 * 24) + 48 * 2 * (picks + groups)
        found = streaming_coreset(in_chunks(points, 333), 4000, picks, memory, start=1234)
        assert found[0] == 1234 and len(found) == picks == len(set(found.tolist()))
        bound = 2 * covering_radius(points, greedy_coreset(points, picks // groups, start=1234))
        assert covering_radius(points, found) <= bound
        assert covering_radius(points, found) >= 0.5 * covering_radius(
            points, greedy_coreset(points, picks, start=0)
        )
        again = streaming_coreset(in_chunks(points, 100), 4000, picks, memory, start=1234)
        assert np.array_equal(found, again)  # whatever the chunks


@pytest.mark.usefixtures("small_memory")
def test_streaming_gives_the_picks_to_the_groups_that_need_them() -> None:
    points = np.concatenate([normal(500, 6) * 0.001, normal(500, 6)])
    found = streaming_coreset(in_chunks(points, 100), 1000, 100, 500 * (100 + 24) + 48 * 200, start=0)
    assert (found >= 500).sum() > 90


def test_streaming_stays_within_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bound covers blocks full of ties; without ties they take a third, and one group too many would show.
    monkeypatch.setattr(
        coreset, "search_bytes", lambda points, picks, dim: 64 * points + (40 << 10) * dim + (24 << 20)
    )
    total, dim, allowed = 120_000, 256, 98 << 20
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def chunks() -> Iterator[Points]:
        rng = np.random.default_rng(0)
        for _ in range(total // 1000):
            yield rng.standard_normal((1000, dim), dtype=np.float32)

    found = streaming_coreset(chunks, total, 200, allowed, start=119_999)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert len(found) == 200 and found[0] == 119_999
    assert total * (4 * dim + 64) > allowed  # or nothing is tested
    assert peak < allowed


@pytest.mark.parametrize(
    ("total", "memory", "error", "message"),
    [
        (999, 1 << 30, InputError, "more than the 999 points"),
        (1001, 1 << 30, InputError, "end before"),
        (1000, 1 << 20, OptionError, "10 picks of 1000 points need 65 MiB, and 1 MiB are allowed"),
        (5, 1 << 30, OptionError, "picks is 10"),
    ],
)
def test_bad_streams(total: int, memory: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        streaming_coreset(in_chunks(normal(1000, 8), 100), total, 10, memory, start=0)


def test_chunks_of_different_widths() -> None:
    chunks = [normal(10, 8), normal(10, 7)]
    with pytest.raises(InputError, match=r"a chunk is float32 \(10, 7\)"):
        streaming_coreset(lambda: iter(chunks), 20, 5, 1 << 30, start=0)
