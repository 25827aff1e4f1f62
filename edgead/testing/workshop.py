"""One method, fitted on a few generated images: made when a check first asks, kept for the others.

All checks together cost two fits. The first, in FP32, yields the graph that they look at; the second is the
bundle's, whose FP32 form must be that very graph.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgead.errors import MissingDependencyError
from edgead.leftovers import scratch_folder
from edgead.progress import silent
from edgead.testing.check import Skipped
from edgead.testing.material import SIZE, defective_image, good_image, write_images
from edgead.types import Size

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from edgead.bundle import Bundle
    from edgead.manifest import ReferenceRecord
    from edgead.runtime.detector import Detector
    from edgead.types import FittedScorer, FittingData, Image, Precision, Scorer
    from edgead.workbench.given import Given, Settings
    from edgead.workbench.recipe import Recipe

IMAGES = 16
HELD_OUT = 0.4
SEED = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Wishes:
    """How the kit's user wants a method fitted; all may be left out.

    Attributes:
        options: ``key=value`` words, to make a training short for instance.
        backbone, weights: instead of the method's own.
        folder: good images instead of generated ones.
    """

    options: tuple[str, ...] = ()
    backbone: str | None = None
    weights: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Fitted:
    """What one fit in FP32 yields.

    Attributes:
        graph: the one graph.
        scorer: the fitted scorer.
        maps: what its ``embed`` yields for a good image and a defective one.
    """

    graph: onnx.ModelProto
    scorer: FittedScorer
    maps: tuple[Mapping[str, NDArray[np.float32]], ...]


class Workshop:
    """Fits the method as ``edgead fit`` does. What failed once isn't tried again."""

    def __init__(self, method: str, wishes: Wishes) -> None:
        self.method, self.wishes = method, wishes
        scratch = ExitStack()
        self.folder = scratch.enter_context(scratch_folder())
        """Scratch space, removed with the workshop."""
        weakref.finalize(self, scratch.close)
        self._kept: dict[str, object] = {}

    def recipe(self) -> Recipe:
        """The method's parts, made anew; with the paper's image score, whatever a fit would choose."""
        from edgead.image_score import PAPER
        from edgead.workbench.recipe import resolve

        wishes = self.wishes
        return resolve(self.method, wishes.backbone, wishes.weights, wishes.options, None, PAPER)

    def fit(self) -> Fitted:
        """The method fitted in FP32; whatever fitting raises."""
        return self._once("fit", self._fit)

    def graph(self) -> onnx.ModelProto:
        """The FP32 graph; skips the check where the method doesn't fit, since another check says so."""
        return self._or_skip("fits", self.fit).graph

    def again(self) -> onnx.ModelProto:
        """The FP32 graph of a second fit, with Python's and NumPy's own generators in another state.

        It's the bundle's; where none can be written, that of a fit for this alone.
        """
        self.graph()
        return self._once("again", self._second)

    def bundle(self) -> Bundle:
        """The reference bundle, as ``edgead fit`` writes it."""
        return self._or_skip("bundle-is-written", self.write_bundle)

    def write_bundle(self) -> Bundle:
        """The same; whatever writing raises."""
        return self._once("bundle", self._write_bundle)

    def form(self, precision: Precision) -> Path:
        """The graph of a form that the bundle has."""
        bundle = self.bundle()
        return bundle.file(self._reference().forms[precision])

    def lacking(self, precision: Precision) -> str | None:
        """Why the bundle doesn't have a form; None where it does."""
        from edgead.notices import say

        lacking = self._reference().lacking
        return say(lacking[precision]) if precision in lacking else None

    def held_out(self) -> list[Image]:
        """The good images that nothing was fitted on, as the model sees them; the bundle carries them."""
        from edgead.images import read_image
        from edgead.workbench.probes import held_out

        bundle = self.bundle()
        return [read_image(bundle.file(name)) for name in held_out(bundle)]

    def detector(self) -> Detector:
        """The reference bundle as a camera opens it."""
        from edgead.runtime.detector import Detector
        from edgead.runtime.engine_options import EngineOptions

        return self._once("detector", lambda: Detector(self.bundle(), EngineOptions(threads=2)))

    @property
    def size(self) -> Size:
        """Height and width of the graph's image."""
        return self._given().training.rule.size

    # ---------------------------------------------------------------- how

    def _images(self) -> Path:
        if self.wishes.folder is not None:
            return self.wishes.folder
        folder = self.folder / "good"
        return folder if folder.exists() else write_images(folder, map(good_image, range(IMAGES)))

    def _settings(self) -> Settings:
        from edgead.workbench.given import Settings

        return Settings(size=self._size(), seed=SEED, holdout=HELD_OUT, precisions=("int8",), final_fit=False)

    def _given(self) -> Given:
        """The images, read and divided as ``edgead fit`` does."""
        from edgead.workbench.given import read_given

        return self._once(
            "given",
            lambda: read_given(self.recipe().backbone, self._images(), self._settings(), (), silent),
        )

    def _size(self) -> tuple[int, int] | None:
        """The kit's small size, where the backbone takes any size and the images are the kit's."""
        fixed = self.recipe().backbone.input.size
        return fixed or (SIZE if self.wishes.folder is None else None)

    def _reference(self) -> ReferenceRecord:
        found = self.bundle().manifest.reference
        assert found is not None, "fit writes reference bundles"
        return found

    def _second(self) -> onnx.ModelProto:
        import onnx

        try:
            self.write_bundle()
        except Exception:  # what is wrong with it is another check's to say
            return self._fit().graph
        return onnx.load(self.form("fp32"))

    def _fit(self) -> Fitted:
        from edgead.workbench.graph import compose

        with self._prepared() as (ready, backbone, offer):
            scorer = ready.scorer.fit(offer)
            size = offer.size
            maps = tuple(offer.embed([good_image(500, size), defective_image(500, size)]))
        return Fitted(
            compose(backbone, ready.scorer, scorer, ready.postprocessor, size, "fp32").model, scorer, maps
        )

    @contextmanager
    def offered(self) -> Iterator[tuple[Scorer, FittingData]]:
        """The scorer, after training where it trains, and what it's offered to fit on in FP32."""
        self.graph()
        with self._prepared() as (ready, _, offer):
            yield ready.scorer, offer

    @contextmanager
    def _prepared(self) -> Iterator[tuple[Recipe, onnx.ModelProto, FittingData]]:
        from edgead.workbench.features import fitting_data, training_data
        from edgead.workbench.forms import backbone_forms, trained

        frames = self._given().training
        # A new one, or a second training would go on.
        checkpoint = self.folder / f"checkpoint-{len(list(self.folder.iterdir()))}"
        checkpoint.mkdir()
        _elsewhere()
        recipe = self.recipe()
        data = training_data(recipe.backbone, frames, SEED, silent, checkpoint)
        ready = trained(recipe, data)
        backbone = backbone_forms(ready, data, ())[0]["fp32"]
        with fitting_data(backbone, ready.scorer, replace(data, backbone=ready.backbone)) as offer:
            yield ready, backbone, offer

    def _write_bundle(self) -> Bundle:
        from edgead.workbench.fit import fit

        _elsewhere()
        out = self.folder / f"{self.method}.edgead"
        return fit(self.recipe(), self._images(), self._settings(), out, silent).bundle

    def _once(self, what: str, make: Callable[[], T]) -> T:
        if what not in self._kept:
            try:
                self._kept[what] = make()
            except Exception as error:
                self._kept[what] = error
        kept = self._kept[what]
        if isinstance(kept, Exception):
            raise kept
        return kept  # type: ignore[return-value]

    def _or_skip(self, check: str, make: Callable[[], T]) -> T:
        try:
            return make()
        except (MissingDependencyError, Skipped):
            raise
        except Exception:
            raise Skipped(f"needs the check '{check}' to pass") from None


_counter = iter(range(1, 1_000_000))


def _elsewhere() -> None:
    """Put the generators that a scorer must not use into another state at each fit."""
    number = next(_counter)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the one that careless code draws from


__all__ = ["Fitted", "Wishes", "Workshop"]
