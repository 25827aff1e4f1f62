"""``edgead.Drift``: notices that the line is no longer as it was, says so, and moves nothing."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.device.drift.change import Change, Watched, changes_in, unsettled_in, watched_in
from edgead.device.drift.given import bundle_of, outside, score_of, seconds_of, setting_of
from edgead.device.drift.look import Look, look_at
from edgead.device.drift.state import model_of, read_state, to_bytes, write_state
from edgead.device.drift.watch import MEDIAN, Watch
from edgead.errors import OptionError, OutputError
from edgead.names import shown
from edgead.notices import Notice
from edgead.roi import roi_of
from edgead.types import Prediction

if TYPE_CHECKING:
    from edgead.runtime.detector import Detector

_log = logging.getLogger("edgead.notes")  # as what a call doubts; the command line prints it itself


class Drift:
    """Watches a line beside a detector, frame by frame, and tells when it's no longer as it was.

    It learns what is usual on the line itself, over the first ``blocks`` blocks of ``block`` frames, and how
    much such blocks differ from each other without any drift. Then it holds the last ``block`` frames against
    that: the scores (by the shares over two quantiles), the frames' brightness, contrast and sharpness, the
    share that could be judged, and latency. What it finds it says; it never moves a threshold. docs/drift.md
    says what each means, and how soon and how surely it's found.

    Several threads may use one; what a line does is told in the order in which they come.

    Args:
        bundle: the bundle whose scores are watched, or its detector.
        path: a file for what is learned: read where it's there, and written at the end of each block, by
            ``save`` and by ``reset``. One file serves one line, one bundle and one process.
        block: frames of a block, a multiple of 10 from 20 to 100,000. A sudden change is found within two.
        blocks: how many are learned before anything is said, 3 to 1,000. Together they should hold all that
            is usual: a change of shift, of reel, of daylight. Learning goes on for four times as long.

    Raises:
        OptionError: an argument isn't of these, or the path lies in the bundle.
        DriftStateError: the file isn't a state for this bundle, ``block`` and ``blocks``.
        OutputError: there's no file yet, and it can't be written.
        HeldOutFileError: the bundle's held-out images' scores can't be read.
        CarriedImageError: its region of interest can't be.
    """

    def __init__(
        self,
        bundle: Bundle | Detector,
        path: str | os.PathLike[str] | None = None,
        *,
        block: int = 500,
        blocks: int = 10,
    ) -> None:
        bundle = bundle_of(bundle)
        self._path = None if path is None else outside(Path(path), bundle)
        self._setting = setting_of(bundle, block, blocks)
        self._size = bundle.manifest.input.size
        windows = bundle.manifest.windows
        self._scale = None if windows is None else windows.scale
        self._roi = roi_of(bundle)
        self._model = model_of(bundle)
        self._name = bundle.path.name
        self._lock, self._writing = threading.RLock(), threading.Lock()
        self._unsaved: Notice | None = None
        self._watch = Watch()
        if self._path is not None:
            found = read_state(self._path, self._model, self._setting)
            if found is not None:
                self._watch = found
            else:
                self.save()  # what can't be written is said now, not after the first block

    def _look(self, frame: Any) -> Look:
        return look_at(frame, self._size, self._roi, self._scale)

    def __repr__(self) -> str:
        with self._lock:
            frames, changes = self._watch.frames, self.changes
            state = "learning" if self.learning else "nothing changed"
            if changes:
                state = ", ".join(f"{change.what} {change.direction}" for change in changes)
        return f"Drift({shown(self._name)}: {state}, {frames:,} frames)"

    # ---------------------------------------------------------------- what is fed in

    def update(
        self,
        prediction: Prediction | float | None,
        frame: NDArray[Any] | Look | None = None,
        seconds: float | None = None,
    ) -> tuple[Notice, ...]:
        """Take in one frame, in the order of the line.

        Args:
            prediction: the frame's, or its score alone; None where it couldn't be judged, whatever the reason
                (``missed`` is the same). A score that isn't finite is taken for none.
            frame: the frame as the detector got it, (H, W, 3) uint8, (H, W) uint8 or uint16, or what
                ``edgead.device.drift.look_at`` made of it. Where only some frames are given, at least every
                fifth should be, or nothing is said of how they look.
            seconds: what judging it took.

        Returns:
            What is news with this frame, nearly always nothing: a change, each once, and what is doubtful.
            It's logged at WARNING too.

        Raises:
            FrameError: the frame isn't one; nothing was taken in.
            OptionError: the prediction or the seconds are none of these; nothing was taken in.
        """
        score = score_of(prediction)
        look = frame if frame is None or isinstance(frame, Look) else self._look(frame)
        seconds = seconds_of(seconds)
        with self._lock:
            watch = self._watch
            news = list[Notice]()
            if (watch.frames + 1) % self._setting.step:
                watch.take(score, look, seconds, self._setting)
            else:  # a step ends, and what is so may change
                changed, doubts = {change.what for change in self.changes}, self._doubts()
                watch.take(score, look, seconds, self._setting)
                news += [change.notice() for change in self.changes if change.what not in changed]
                news += [doubt for doubt in self._doubts() if doubt not in doubts]
            is_due = self._path is not None and watch.frames % self._setting.block == 0
        if is_due:
            news += self._save_beside()
        for notice in news:
            _log.warning("%s: %s", shown(self._name), notice)
        return tuple(news)

    def missed(self) -> tuple[Notice, ...]:
        """Take in a frame that couldn't be judged, or never came: the same as ``update(None)``."""
        return self.update(None)

    # ---------------------------------------------------------------- what comes out

    @property
    def detected(self) -> bool:
        """Whether anything is changed now."""
        return bool(self.changes)

    @property
    def learning(self) -> bool:
        """Whether it's too early to say anything of the scores."""
        with self._lock:
            return self._watch.is_learning(MEDIAN, self._setting)

    @property
    def frames(self) -> int:
        """How many frames it has seen, with those before a restart."""
        with self._lock:
            return self._watch.frames

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is changed now; a change goes when blocks are well within the usual again."""
        with self._lock:
            return changes_in(self._watch, self._setting)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Every quantity: its usual value, its latest, and its limits, so how small a change is found."""
        with self._lock:
            return watched_in(self._watch, self._setting)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All that holds now, in sentences: changes, what is doubtful, and how far the learning is."""
        with self._lock:
            told = [change.notice() for change in self.changes]
            told += self._doubts()
            if self._unsaved is not None:
                told.append(self._unsaved)
            if self.learning:
                done = min(int(self._watch.channels[MEDIAN].blocks_learned), self._setting.blocks)
                values = {"done": done, "blocks": self._setting.blocks, "block": self._setting.block}
                told.append(Notice("drift-learning", values))
            return tuple(told)

    @property
    def notice(self) -> Notice | None:
        """The first of ``notices``, None where there's nothing to say."""
        return next(iter(self.notices), None)

    def record(self) -> dict[str, Any]:
        """All of it as JSON values."""
        with self._lock:
            return {
                "frames": self._watch.frames,
                "block": self._setting.block,
                "blocks": self._setting.blocks,
                "learning": self.learning,
                "detected": self.detected,
                "changes": [change.record() for change in self.changes],
                "watched": [vars(one).copy() for one in self.watched],
                "notices": [notice.record() for notice in self.notices],
            }

    # ---------------------------------------------------------------- what is kept

    def save(self) -> None:
        """Write the state, all of it, whole or not at all; a new Drift goes on from there.

        Raises:
            OptionError: no path was given.
            OutputError: it can't be written.
        """
        if self._path is None:
            raise OptionError("Drift has no file to save to: give path=")
        with self._writing:
            with self._lock:
                content = to_bytes(self._watch, self._model, self._setting)
            write_state(self._path, content)
            self._unsaved = None

    def reset(self) -> None:
        """Forget what was usual, and learn anew from the next frame on: for after the line was adjusted.

        The frames are still counted from the first. It's saved where a path was given.

        Raises:
            OutputError: it can't be written.
        """
        with self._lock:
            # From a step's first frame on, so that steps stay whole.
            self._watch = Watch(frames=-(-self._watch.frames // self._setting.step) * self._setting.step)
        if self._path is not None:
            self.save()

    def _save_beside(self) -> list[Notice]:
        """Save; what goes wrong is news once, and no reason for the line to stop."""
        try:
            self.save()
        except OutputError as error:
            is_new = self._unsaved is None
            self._unsaved = Notice("drift-unsaved", {"reason": str(error)})
            return [self._unsaved] if is_new else []
        return []

    def _doubts(self) -> tuple[Notice, ...]:
        """What is so for as long as the same is taken for usual."""
        watch, doubts = self._watch, list[Notice]()
        if watch.compared == "differs":
            seen, median, high = watch.line
            shares = {"median": median / seen, "high": high / seen}
            doubts.append(Notice("drift-line-differs", {"frames": int(seen), **shares}))
        if not self._setting.marks:
            doubts.append(Notice("drift-no-held-out"))
        doubts += unsettled_in(watch, self._setting)
        return tuple(doubts)


__all__ = ["Drift"]
