"""What edgead-kmeans adds to edgead: the method ``kmeans`` and its scorer."""

from __future__ import annotations

from edgead import hookimpl
from edgead.types import Method, Register

edgead_api = 1


def method() -> Method:
    """The recipe: this scorer on edgead's own backbone and post-processor."""
    return Method("kmeans", scorer="kmeans")


@hookimpl
def edgead_register_scorers(register: Register) -> None:
    # A string, so that the scorer's module and its packages are imported when it's used, and not before.
    register("kmeans", "edgead_kmeans.scorer:Kmeans", "distance to the nearest k-means centre")


@hookimpl
def edgead_register_methods(register: Register) -> None:
    register("kmeans", method, "a few k-means centres of good patches; needs no torch")
