"""The detector: a bundle as a callable from frame to prediction.

A detector keeps no state between frames: the same frame gives the same prediction, whatever came before and
whatever other threads ask it. What it was taught changes as a whole: see ``Detector.reload_lessons``.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from edgead.bundle import Bundle, read_bundle
from edgead.errors import ForeignLessonError, ImageError, OptionError, UnknownNameError, UnsignedError
from edgead.manifest import DEFAULT, ThresholdRecord
from edgead.names import shown
from edgead.notices import Notice
from edgead.runtime.engine_options import EngineOptions, whole
from edgead.runtime.engines import engine_of, open_session
from edgead.runtime.frames import Frames
from edgead.runtime.in_windows import StartedFrame, judged_in_windows
from edgead.runtime.large_frames import FrameSizes, memory_or_refused
from edgead.runtime.lessons import Taught, taught
from edgead.runtime.model_bytes import model_of
from edgead.runtime.pending import PendingPrediction
from edgead.runtime.proof import prove
from edgead.runtime.self_test import SelfTest, SelfTester
from edgead.runtime.session import Outputs, OwningSession, Pending, Session
from edgead.runtime.verdict import judge
from edgead.runtime.warming import warm_up
from edgead.teaching import required
from edgead.trust import AnyTrust, Trust
from edgead.types import Image, Prediction
from edgead.window_rule import WindowRule, rule_of

_log = logging.getLogger(__name__)


def load(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    device: str = "auto",
    engine: str | None = None,
    threads: int | None = None,
    threshold: float | None = None,
    throughput: bool = False,
    cores: Sequence[int] | None = None,
    cache: bool = False,
    depth: int | None = None,
    product: str | None = None,
    trust: AnyTrust | None = None,
    self_test_minutes: float | None = None,
) -> Detector:
    """Verify a bundle, compile its graph and warm it up; it judges an image that the bundle carries.

    Args:
        bundle: the folder, or what ``edgead.export`` or ``edgead.read_bundle`` returned; it's read again.
        device: the engine's name of a device, ``auto`` for the CPU.
        engine: another engine than the bundle's own, for a model that both can read; a plugin's engine is
            used where it's named here, and never because a bundle names it.
        threads: CPU threads, 1 to 1024; None for as many as ``cores``, or all of the machine's.
        threshold: a threshold on the image score instead of the calibrated one, whatever the product.
        throughput: prepare for ``Detector.map`` over many frames rather than for single frames.
        cores: logical processors that all of the engine's work is done on; None for any.
        cache: keep the compiled graph in the user's cache for the next start.
        depth: significant bits of uint16 frames and 16-bit files, 9 to 16, for a bundle that learned none;
            of others it's in the bundle.
        product: whose thresholds hold where a call names no product, in a bundle that has some of its own for
            several; ``default`` if not given.
        trust: demand a signature: by one of these public keys (files, or folders of them), or as an
            ``edgead.Trust`` says; what the environment variable ``EDGEAD_TRUST`` demands if not given.
        self_test_minutes: judge one of the carried images every so many minutes, between two frames; see
            ``Detector.self_test``.

    Raises:
        BundleError: the bundle can't be trusted; ``TrustError`` where it's for want of a signature.
        EdgeadError: what ``Detector`` raises.
    """
    options = EngineOptions(device=device, threads=threads, throughput=throughput, cores=cores, cache=cache)
    path = bundle.path if isinstance(bundle, Bundle) else bundle
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"{type(path).__name__} is no bundle: give its path, or what a call returned")
    read = read_bundle(Path(path), hold=True, trust=None if trust is None else Trust.of(trust))
    detector = Detector(
        read,
        options,
        engine=engine,
        threshold=threshold,
        depth=depth,
        product=product,
        self_test_minutes=self_test_minutes,
    )
    if read.signed is not None:
        _log.info("%s: %s", read.path, read.signed)
        read.signed.remember()
    return detector


class Detector:
    """Calls a bundle's graph on frames; ``load`` makes one of a folder.

    Several threads may call one detector and ``map`` with it at once: each prediction is its own frame's, bit
    by bit the one that a single thread gets. They share the engine's threads, so that each waits for the
    others: the machine does no more by it than in ``map``.

    Args:
        bundle: a verified one.
        options: what the engine is asked for. The precision is the bundle's.
        engine: another engine than the bundle's own, for a model that both can read; a plugin's engine is
            used where it's named here, and never because a bundle names it.
        threshold: a threshold on the image score instead of the calibrated one, whatever the product.
        depth: significant bits of uint16 frames and 16-bit files, 9 to 16, for a bundle that learned none;
            of others it's in the bundle.
        product: whose thresholds hold where a call names no product.
        self_test_minutes: judge one of the carried images every so many minutes, between two frames.

    Raises:
        EngineError: the engine or device isn't there, or can't compile or run the graph.
        UnknownNameError: nobody registers the engine, or the bundle has no such product.
        PluginError: the engine is a plugin's, and breaks its contract.
        ParityError: this machine gives other numbers than the bundle was exported with, or another verdict;
            see ``edgead.runtime.proof``. ``SelfTestError`` where it gave the right ones before.
        OptionError: the threshold isn't a finite number, a core isn't this process's to use, the engine
            doesn't read the bundle's model or honour an option, the bundle's engine is a plugin's and wasn't
            named, or the depth isn't what the bundle learned.

    Attributes:
        bundle: the verified bundle.
        product: whose thresholds hold where a call names no product.
        threshold: that product's, on the image score.
        rule: how frames and maps lie on each other: resized as a whole, or in windows; with the region of
            interest where the bundle has one.
        depth: significant bits of uint16 frames and 16-bit files, what ``read_image`` should be given; None
            where the bundle has learned none and nothing was said.
        runs_on: engine and device, and for a Jetson's bundle why nothing better, in one line.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
        *,
        engine: str | None = None,
        threshold: float | None = None,
        depth: int | None = None,
        product: str | None = None,
        self_test_minutes: float | None = None,
    ) -> None:
        if not isinstance(bundle, Bundle):
            raise OptionError(f"{type(bundle).__name__} is no bundle: use edgead.load for a path")
        manifest = bundle.manifest
        threshold = _number("threshold", threshold)
        if threshold is not None and not math.isfinite(threshold):
            raise OptionError(f"threshold {threshold} must be a finite number")
        depth = whole("depth", depth)
        minutes = _number("self_test_minutes", self_test_minutes)
        if options.precision not in ("f32", manifest.engine_precision):
            raise OptionError(f"precision {options.precision}: {bundle.path} was gated in f32; leave it out")
        self.bundle = bundle
        self._given = threshold
        self._thresholds = self._in_force(bundle)
        self.product = DEFAULT if product is None else product
        self.threshold = self.limits().score
        self.rule = rule_of(bundle)
        self._frames = Frames(self.rule, manifest.input.depth, depth, bundle.path.name)
        self.depth = self._frames.depth
        self._engine = engine_of(bundle, engine)
        windows = manifest.windows is not None  # several are under way at once, whatever is asked
        throughput = options.throughput or windows
        self._options = replace(options, precision=manifest.engine_precision, throughput=throughput)
        self._sizes = FrameSizes(0 if manifest.windows is None else manifest.windows.pixels)
        self._spare: Session | None = None  # compiled for teaching, until the first lesson needs it
        self._state = self._opened(bundle, None)
        self.runs_on = self._session.runs_on
        what = f"{manifest.method.name} {manifest.precision} for {manifest.target}"
        cores = None if options.cores is None else list(options.cores)
        where = f"threads {options.thread_count or 'all'}, cores {cores or 'any'}"
        _log.info("%s: %s, %s, %s, threshold %g", bundle.path, what, self.runs_on, where, self.threshold)
        prove(bundle, self._session, self.runs_on, self.limits(), self._state.outputs)
        self._tester = SelfTester(bundle, minutes)
        self._tester.at_load(self._session, self.limits())
        self.bundle = bundle.without_held()

    @property
    def self_test(self) -> SelfTest | None:
        """What the last self-test found, at loading the first; None where the bundle carries no images.

        With ``self_test_minutes`` one of the images that the bundle carries is judged every so many minutes,
        before a frame is: that frame waits for one inference more, and no other. Where score or map aren't
        the recorded ones, ``passed`` is False and a warning is logged; frames are judged all the same, so
        look here after each, and reject what is judged from then on.
        """
        return self._tester.last

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        what = f"{manifest.method.name} {manifest.precision}"
        where = f"{self.runs_on}, threshold {self.threshold:.6g}"
        return f"Detector({shown(self.bundle.path.name)}: {what} on {where})"

    def with_throughput(self) -> Detector:
        """The same detector for ``map`` over many frames, with a session of its own where that helps."""
        twin = copy(self)
        if "throughput" in self._session.honours:
            twin._options = replace(self._options, throughput=True)
            twin._spare = None
            twin._state = replace(self._state, session=twin._warm(self._state.outputs))
        else:
            _log.info("%s has no form for throughput; the same session is used", self._session.engine)
        return twin

    def with_thresholds(self, bundle: Bundle, *, product: str | None = None) -> Detector:
        """The same detector with the thresholds that a bundle has by now: nothing is compiled again.

        Args:
            bundle: this one, read again after it was calibrated.
            product: whose thresholds hold where a call names no product; as now if not given.

        Raises:
            OptionError: it's another bundle.
            UnknownNameError: it has no such product.
            ParityError: this machine gives another verdict at these thresholds.
            UnsignedError: this detector demanded a signature, and the bundle was read without.
        """
        if self.bundle.signed is not None and bundle.signed is None:
            raise UnsignedError(
                f"{bundle.path}: this detector demanded a signature: read it with the detector's trust"
            )
        if replace(bundle.manifest, thresholds={}) != replace(self.bundle.manifest, thresholds={}):
            raise OptionError(f"{bundle.path} is another bundle than this detector's: load it")
        twin = copy(self)
        lessons = self.bundle.lessons  # those that this detector heeds
        twin.bundle = replace(bundle.without_held(), lessons=lessons)
        twin._thresholds = self._in_force(bundle)
        twin.product = self.product if product is None else product
        twin.threshold = twin.limits().score
        prove(bundle, self._session, self.runs_on, twin.limits(), self._state.outputs)
        return twin

    def _in_force(self, bundle: Bundle) -> Mapping[str, ThresholdRecord]:
        """The bundle's thresholds, with the score that the caller gave where one was."""
        known, given = bundle.manifest.thresholds, self._given
        if given is None:
            return known
        return {name: replace(each, score=given) for name, each in known.items()}

    def reload_lessons(self) -> None:
        """Take up what the bundle was taught since, or what was undone; ``edgead.teach`` does this by itself.

        The bundle is read and checked again, while other threads go on to judge: each frame is judged wholly
        as before or wholly as after, and a ``map`` that is under way as when it began. With the first lesson,
        and without the last, the graph is compiled anew.

        Raises:
            BundleError, EngineError, ParityError: as ``edgead.load`` does; the detector stays as it was.
        """
        bundle = read_bundle(self.bundle.path, trust=self.bundle.trust)
        if replace(bundle.manifest, thresholds={}) != replace(self.bundle.manifest, thresholds={}):
            raise ForeignLessonError(f"{bundle.path}: another bundle lies there by now; load it anew")
        state = self._opened(bundle, self._state)
        if state.session is not self._session:
            prove(bundle, state.session, self.runs_on, self.limits(), state.outputs)
        # Thresholds that were revised meanwhile aren't lessons: ``with_thresholds`` takes those up.
        known = self.bundle
        bundle = replace(bundle, manifest=known.manifest, revisions=known.revisions)
        self.bundle, self._state, self._spare = bundle, state, None

    def teaching_session(self) -> Session:
        """A session that gives what teaching takes, compiled once if need be; ``edgead.teach`` asks for it.

        Raises:
            TeachError: the bundle's method has no bank that could be taught.
            EngineError: the engine can't give the graph's inner tensors.
        """
        record = required(self.bundle)
        outputs = (record.embedding, record.patch)
        if self._state.outputs == outputs:
            return self._session
        if self._spare is None:
            self._spare = self._warm(outputs)
        return self._spare

    @property
    def _session(self) -> Session:
        return self._state.session

    def _opened(self, bundle: Bundle, known: _State | None) -> _State:
        """The lessons, and a session that gives what they take: the one that is open where that does."""
        lessons = taught(bundle) if any(lesson.rows for lesson in bundle.lessons.active) else None
        outputs = lessons.outputs if lessons is not None else ()
        if known is not None and known.outputs == outputs:
            return _State(known.session, lessons)
        session = self._spare if self._spare is not None and outputs else self._warm(outputs)
        return _State(session, lessons)

    def _warm(self, outputs: tuple[str, ...]) -> Session:
        options = replace(self._options, outputs=outputs)
        session = open_session(model_of(self.bundle), self._engine, options)
        warm_up(session, self.rule.size, self.bundle.path, not self.bundle.manifest.probes)
        return session

    def limits(self, product: str | None = None) -> ThresholdRecord:
        """The thresholds that hold for a product, or where none is named; ``score`` is this detector's own.

        Raises:
            UnknownNameError: the bundle has no such product.
        """
        name = self.product if product is None else product
        if not isinstance(name, str) or name not in self._thresholds:
            raise UnknownNameError("product", str(name)[:80], self._thresholds)
        return self._thresholds[name]

    def read_image(self, path: Path) -> Image:
        """Read an image file as this detector's bundle has learned them, (H, W, 3) uint8 BGR.

        Raises:
            ImageError: as ``edgead.images.read_image``.
        """
        return self._frames.read(path)

    def read_images(self, paths: Iterable[Path]) -> Iterator[Image]:
        """Read image files as ``read_image`` does, in several threads ahead of the one that's asked for.

        So they are for ``map``, which then is told ``held=True``. At most one more than there are processors
        is read ahead, and fewer of large images; see ``edgead.ahead``.

        Raises:
            ImageError: of the first that can't be used, after those before it.
        """
        with closing(self.read_ahead(paths)) as images:
            for image in images:
                if isinstance(image, ImageError):
                    raise image
                yield image

    def read_ahead(self, paths: Iterable[Path]) -> Generator[Image | ImageError, None, None]:
        """As ``read_images``, but yield an image's error in its place and go on."""
        return self._frames.read_ahead(paths)

    def size_notice(self) -> Notice | None:
        """What to say where frames in windows were far larger than those that the threshold was set on.

        Nothing of a threshold that was given, or calibrated since the export: its images may be as large.
        """
        revised = self.bundle.revisions and self.bundle.revisions[-1].restores != 0
        return None if revised or self._given is not None else self._sizes.notice()

    def depth_notice(self) -> Notice | None:
        """What to ask about the 16-bit files that were read so far, where their depth was never told."""
        return self._frames.depth_notice()

    def __call__(
        self,
        frame: NDArray[Any],
        *,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
        product: str | None = None,
    ) -> Prediction:
        """Judge one frame.

        Args:
            frame: (H, W, 3) uint8, (H, W) uint8 or uint16, any strides; it isn't changed.
            channel_order: of a colour frame.
            depth: bits used of a uint16 frame; the detector's own, or else 16, if not given.
            product: what the frame shows, in a bundle with thresholds for several.

        Raises:
            FrameError: the frame isn't one of these; another may be.
            InferenceError: the engine failed, or (``NotFiniteError``) the model yields no number. That isn't
                the frame's fault: don't go on without a look.
            OptionError: the depth isn't the detector's own.
            UnknownNameError: the bundle has no such product.
        """
        limits = self.limits(product)
        with memory_or_refused(getattr(frame, "shape", None)):
            image, shape = self._frames.prepare(frame, channel_order, depth)
            state = self._state
            self._tester.between_frames(state.session, limits)
            if isinstance(self.rule, WindowRule):
                (outputs,) = judged_in_windows(state.session, [image], self.rule, state.taught)
            else:
                outputs = state.session(image[None])
            return self._predict(outputs, shape, limits, state.taught)

    def start(
        self,
        frame: NDArray[Any],
        *,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
        product: str | None = None,
    ) -> PendingPrediction:
        """Start to judge one frame, and return as soon as it's prepared: it may be used again at once.

        Several may be under way. What's left is run all the same, and its prediction dropped.

        Args:
            frame, channel_order, depth, product: as a call takes them.

        Raises:
            FrameError, InferenceError, OptionError, UnknownNameError: as a call does; the engine's own faults
                come from ``PendingPrediction.wait``.
        """
        limits = self.limits(product)
        with memory_or_refused(getattr(frame, "shape", None)):
            image, shape = self._frames.prepare_own(frame, channel_order, depth)
        state = self._state
        self._tester.between_frames(state.session, limits)
        session = state.session
        started: Pending
        if isinstance(self.rule, WindowRule):
            started = StartedFrame(session, image, self.rule, state.taught)
        else:
            start = session.start_owned if isinstance(session, OwningSession) else session.start
            started = start(image[None])

        def predict(outputs: Outputs) -> Prediction:
            with memory_or_refused(shape):
                return self._predict(outputs, shape, limits, state.taught)

        return PendingPrediction(started, predict)

    def map(
        self,
        frames: Iterable[NDArray[Any]],
        *,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
        product: str | None = None,
        held: bool = False,
    ) -> Iterator[Prediction]:
        """Judge many frames of one product for throughput, several at a time; yields in their order.

        Frames are taken one at a time, by the thread that asks for predictions. Where ``frames`` raises, or
        gives what isn't a frame, the predictions of all frames before it are yielded first, and then it's
        raised.

        Args:
            frames: each may be changed once the next one is asked for: what is left of it to read is copied.
            channel_order, depth, product: as a call takes them.
            held: no frame is changed before its prediction is yielded. None is copied then, and they are
                prepared in several threads; for that some more are taken ahead, so it's for frames that are
                there already, and not for a live camera.

        Raises:
            FrameError, InferenceError: as a call does, of the first frame without a prediction.
            UnknownNameError: the bundle has no such product.
        """
        limits = self.limits(product)
        shapes: deque[tuple[int, ...]] = deque()
        state = self._state
        session, rule = state.session, self.rule
        run = session.map_owned if isinstance(session, OwningSession) else session.map

        def images() -> Iterator[Image]:
            for image, shape in prepared:
                shapes.append(shape)
                yield image

        def outputs_of() -> Generator[Outputs, None, None]:
            if isinstance(rule, WindowRule):
                return judged_in_windows(session, images(), rule, state.taught)
            return run(image[None] for image in images())

        with (
            memory_or_refused(),
            closing(self._frames.prepare_all(frames, channel_order, depth, held)) as prepared,
            closing(outputs_of()) as all_outputs,
        ):
            for outputs in all_outputs:
                self._tester.between_frames(state.session, limits)
                yield self._predict(outputs, shapes.popleft(), limits, state.taught)

    def _predict(
        self, outputs: Outputs, shape: tuple[int, ...], limits: ThresholdRecord, lessons: Taught | None
    ) -> Prediction:
        self._sizes.note(shape)
        if isinstance(self.rule, WindowRule):
            lessons = None  # each window's outputs were given to them
        return judge(outputs, shape, self.rule, limits, self.depth, self.bundle.path.name, lessons)


@dataclass(frozen=True)
class _State:
    """What a frame is judged with, replaced as a whole: a session, and the lessons that its outputs serve."""

    session: Session
    taught: Taught | None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that the session gives beside the graph's outputs."""
        return () if self.taught is None else self.taught.outputs


def _number(name: str, value: Any) -> float | None:
    """A number or None, of whatever type it came in but text."""
    try:
        return None if value is None else float(value + 0)
    except (TypeError, ValueError, OverflowError):
        raise OptionError(f"{name} {str(value)[:40]!r} must be a number") from None
