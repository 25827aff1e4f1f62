"""Slots: bundles on a device, of which one is current, put in its place in one step and taken back in one.

A bundle comes in as a copy that was checked and tried here, and is on trial until it has judged some frames;
where it never does, the folder goes back to the one before by itself. Killed at any moment, ``current`` leads
to a whole bundle, the old or the new one, and the next writer removes what was left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgead.bundle import Bundle
from edgead.errors import BundleError, EdgeadError, NoSlotError, OptionError
from edgead.files import output_errors, staging_folder
from edgead.names import shown
from edgead.notices import count
from edgead.slots.content import as_installed, left_behind, mark_of, same, whole
from edgead.slots.folder import (
    CURRENT,
    PREVIOUS,
    locked,
    make_current,
    placed,
    pointed,
    short,
    target,
)
from edgead.slots.place import check_rights, check_there
from edgead.slots.settling import demanded, left_for_later, settled, tidied
from edgead.slots.slot import Slot, before_of, free_name, last_good, record_of, slot_of
from edgead.slots.staging import staged
from edgead.slots.state import (
    MOST,
    STATE,
    SlotRecord,
    State,
    WentBack,
    read_state,
    state_put_back,
    write_state,
)
from edgead.trust import AnyTrust, Trust
from edgead.trust.floors import Mark, allowed_back, raised_floor

GOOD_AFTER, MOST_STARTS = 100, 3
WAIT_SECONDS = 30.0
"""How long the start of a runner waits for an installer."""

_log = logging.getLogger(__name__)


class Slots:
    """A folder of installed bundles; ``edgead.load("FOLDER/current")`` loads the current one.

    Args:
        folder: made by the first ``install``.
        trust: demand a signature of what is installed: by one of these public keys (files, or folders of
            them), or as an ``edgead.Trust`` says; what ``EDGEAD_TRUST`` demands if not given. Without a file
            of its own for them, the accepted serial numbers are kept in the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], *, trust: AnyTrust | None = None) -> None:
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise OptionError("folder must be the path of a folder for slots")
        self.folder = Path(folder)
        self._trust = None if trust is None else Trust.of(trust)
        self._counting = threading.Lock()
        self._running: str | None = None
        self._left = 0

    def __repr__(self) -> str:
        return f"Slots({shown(self.folder)})"

    @staticmethod
    def of(bundle: Path) -> Slots | None:
        """The folder whose ``current`` this path is, or None."""
        bundle = Path(bundle)
        if bundle.name != CURRENT or not bundle.is_symlink() or not os.path.lexists(bundle.parent / STATE):
            return None
        return Slots(bundle.parent)

    # ------------------------------------------------------------ what is there

    def current(self) -> Slot | None:
        """The slot that is in use; None where nothing was installed.

        Raises:
            SlotStateError: what the folder says of itself isn't as edgead writes it.
            SlotsRightsError: others can change the folder.
        """
        check_rights(self.folder)
        name = target(self.folder, CURRENT)
        return None if name is None else slot_of(self.folder, read_state(self.folder), name)

    def previous(self) -> Slot | None:
        """The slot that ``rollback`` goes back to, or None; raises as ``current``."""
        check_rights(self.folder)
        state = read_state(self.folder)
        name = before_of(self.folder, state, target(self.folder, CURRENT))
        return None if name is None else slot_of(self.folder, state, name)

    def went_back(self) -> WentBack | None:
        """The last time that the folder went back, or None; raises as ``current``."""
        check_rights(self.folder)
        return read_state(self.folder).went_back

    # ------------------------------------------------------------ changes

    def install(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        engine: str | None = None,
        good_after: int = GOOD_AFTER,
        most_starts: int = MOST_STARTS,
    ) -> Slot:
        """Copy a bundle into a slot of its own, check and try it here, and make it the current one, on trial.

        What can be gone back to is the last slot that was good. The same bundle as the current one, with the
        same signatures, revisions and lessons, isn't installed again.

        Args:
            bundle: a compiled one.
            engine: try it with another engine than the bundle's own.
            good_after: frames that a runner judges with it before it's good, 0 for good at once.
            most_starts: of a runner while it's on trial; the next start goes back.

        Returns:
            The current slot.

        Raises:
            BundleError: the bundle can't be trusted; ``TrustError`` where it's for want of a signature.
            SelfTestError: this device scores the bundle's own images otherwise than it says.
            EngineError: this device can't run it.
            SlotsRightsError: others can change the folder.
            SlotsBusyError: another process installs or goes back here.
            OutputError: the folder can't be written.
        """
        for name, number in (("good_after", good_after), ("most_starts", most_starts)):
            if type(number) is not int or not 0 <= number <= MOST:
                raise OptionError(f"{name} {number!r} must be a whole number, 0 to {MOST}")
        source = bundle.path if isinstance(bundle, Bundle) else Path(bundle)
        trust = demanded(self.folder, self._trust)
        with locked(self.folder):
            state = settled(self.folder, self._trust)
            now = target(self.folder, CURRENT)
            with (
                output_errors(self.folder),
                staging_folder(self.folder / "incoming") as new,
            ):
                copy = staged(source, new, trust, engine)
                known = None if now is None else whole(self.folder / now)
                if now is not None and known is not None and same(known, copy):
                    _log.info("%s: %s is installed already", self.folder, source)
                    return slot_of(self.folder, state, now)
                mark = None
                if known is not None and trust is not None:
                    mark = mark_of(known, trust, record_of(state, now))
                state = _signed_by(state, now, mark)
                name = free_name(self.folder, copy.digest)
                signed = None if copy.signed is None else Mark.of(copy.signed.statement)
                before = last_good(self.folder, state, now)
                kind: Literal["trial", "good"] = "trial" if good_after else "good"
                record = SlotRecord(_utc(), before, kind, 0, good_after, most_starts, signed)
                state = replace(state, slots={**state.slots, name: record})
                with contextlib.ExitStack() as undone:  # last comes what counts; what fails undoes the others
                    undone.enter_context(placed(new, self.folder / name))
                    undone.enter_context(state_put_back(self.folder, state))
                    undone.enter_context(pointed(self.folder, PREVIOUS, before))
                    if signed is not None and trust is not None and trust.state is not None:
                        undone.enter_context(raised_floor(Path(trust.state), signed, mark))
                    make_current(self.folder, name)
            _log.info("%s: %s is current, %s", self.folder, short(name), kind)
            if known is not None and (left := left_behind(known, copy)):
                _log.warning(
                    "%s: %s of the bundle before it don't come along: it keeps them, for `edgead rollback`",
                    self.folder,
                    left,
                )
            tidied(self.folder, self._trust)
            return slot_of(self.folder, state, name)

    def rollback(self, why: str = "asked for") -> Slot:
        """Make the slot before the current one current again, in one step; the other one is removed.

        Its signature is checked, but that a later one was accepted is no hindrance.

        Returns:
            The current slot.

        Raises:
            NoSlotError: there's none before it, or no such folder, which isn't made.
            ForeignSlotError: it isn't the bundle that was installed there any more, or not by the signature
                that was accepted then; the current one stays.
            BundleError: it can't be trusted any more; the current one stays.
            SlotsRightsError, SlotsBusyError, OutputError: as ``install``.
        """
        self._installed()
        with locked(self.folder):
            return self._back(settled(self.folder, self._trust), why)

    def good(self) -> Slot:
        """Mark the current slot as good: it stays, and is what a later one goes back to.

        Raises:
            NoSlotError: nothing is installed.
            SlotsRightsError, SlotsBusyError, OutputError: as ``install``.
        """
        self._installed()
        with locked(self.folder):
            return self._good(settled(self.folder, self._trust))

    # ------------------------------------------------------------ a runner

    def start(self) -> Slot:
        """Say that a runner begins with the current slot: call it before ``edgead.load``.

        On trial, it's counted; after the last start that it has on trial the folder goes back, which is
        logged at WARNING and stands in ``went_back``. Where there's nothing to go back to, or that isn't
        acceptable any more, the current slot stays, which is logged at WARNING at each start.

        Returns:
            The slot to load.

        Raises:
            NoSlotError: nothing is installed.
            SlotsBusyError: an installer is at work for longer than ``WAIT_SECONDS``.
            SlotStateError, SlotsRightsError, OutputError: as ``rollback``.
        """
        slot = self._installed()
        if slot.state == "trial":
            with locked(self.folder, WAIT_SECONDS):
                slot = self._started(settled(self.folder, self._trust))
        with self._counting:
            record = read_state(self.folder).slots.get(slot.name)
            on_trial = record is not None and record.state == "trial"
            self._running, self._left = slot.name if on_trial else None, record.good_after if record else 0
        return slot

    def frame_judged(self, frames: int = 1) -> None:
        """Count frames that were judged since ``start``; enough of them mark the slot as good.

        It never raises, and writes once: it may be called after each frame.
        """
        with self._counting:
            if self._running is None:
                return
            self._left -= frames
            if self._left > 0:
                return
            try:
                with locked(self.folder):
                    if target(self.folder, CURRENT) == self._running:
                        self._good(settled(self.folder, self._trust))
                self._running = None
            except (EdgeadError, OSError) as error:
                self._left = GOOD_AFTER  # busy, or a full disk: it's tried again with a later frame
                _log.warning("%s: the slot can't be marked good yet (%s)", self.folder, error)

    # ------------------------------------------------------------ how; the lock is held

    def _back(self, state: State, why: str, level: int = logging.INFO) -> Slot:
        name = target(self.folder, CURRENT)
        before = before_of(self.folder, state, name)
        if name is None or before is None:
            raise NoSlotError(f"{shown(self.folder)}: there's no slot to go back to; install a bundle")
        trust = demanded(self.folder, self._trust)
        signed = as_installed(self.folder / before, record_of(state, before), trust)
        with contextlib.ExitStack() as undone:
            undone.enter_context(pointed(self.folder, PREVIOUS, before_of(self.folder, state, before)))
            if signed is not None and trust is not None and trust.state is not None:
                undone.enter_context(allowed_back(Path(trust.state), signed))
            make_current(self.folder, before)
        _log.log(level, "%s: went back from %s to %s (%s)", self.folder, short(name), short(before), why)
        state = replace(state, went_back=WentBack(name, before, _utc(), why))
        with left_for_later(self.folder, "why it went back isn't kept"):  # it goes back on a full disk, too
            write_state(self.folder, state)
        tidied(self.folder, self._trust)
        return slot_of(self.folder, state, before)

    def _started(self, state: State) -> Slot:
        slot = self._needed(self.current())
        record = state.slots.get(slot.name)
        if record is None or record.state == "good":
            return slot
        if record.starts >= record.most_starts:
            if before_of(self.folder, state, slot.name) is not None:
                why = f"not marked good in {record.starts} starts; look into it"
                try:
                    return self._back(state, why, logging.WARNING)
                except BundleError as error:  # a line without its fallback goes on
                    tried = f"and can't be gone back from ({error})"
            else:
                tried = "and there's nothing to go back to"
            _log.warning(
                "%s: %s wasn't marked good in %s, %s: it stays current; look into it, and mark it good with "
                "`edgead slots --good` or install another bundle",
                self.folder,
                short(slot.name),
                count(record.starts, "start"),
                tried,
            )
        record = replace(record, starts=min(record.starts + 1, MOST))
        state = replace(state, slots={**state.slots, slot.name: record})
        write_state(self.folder, state)
        return slot_of(self.folder, state, slot.name)

    def _good(self, state: State) -> Slot:
        slot = self._needed(self.current())
        record = state.slots.get(slot.name)
        if record is not None and record.state == "trial":
            state = replace(state, slots={**state.slots, slot.name: replace(record, state="good")})
            write_state(self.folder, state)
            _log.info("%s: %s is good", self.folder, slot.name)
        return slot_of(self.folder, state, slot.name)

    def _installed(self) -> Slot:
        check_there(self.folder)
        return self._needed(self.current())

    def _needed(self, slot: Slot | None) -> Slot:
        if slot is None:
            raise NoSlotError(
                f"{shown(self.folder)}: nothing is installed here; `edgead install` does that, or "
                "`edgead line install` for a line"
            )
        return slot


def _signed_by(state: State, name: str | None, mark: Mark | None) -> State:
    """Keep by which statement the current slot is accepted, which it may have got since it was installed."""
    if name is None or mark is None:
        return state
    record = record_of(state, name) or SlotRecord("", None, "good", 0, GOOD_AFTER, MOST_STARTS, None)
    return replace(state, slots={**state.slots, name: replace(record, signed=mark)})


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


__all__ = ["GOOD_AFTER", "MOST_STARTS", "Slot", "Slots"]
