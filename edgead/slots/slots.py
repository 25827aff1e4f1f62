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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgead.bundle import Bundle, read_bundle
from edgead.bundle.reading import subject_of
from edgead.errors import BundleError, EdgeadError, ForeignSlotError, NoSlotError, OptionError, TrustError
from edgead.files import output_errors, staging_folder
from edgead.names import shown
from edgead.notices import count
from edgead.slots.folder import (
    CURRENT,
    PREVIOUS,
    SERIALS,
    leads,
    locked,
    make_current,
    placed,
    point,
    pointed,
    short,
    sweep,
    target,
)
from edgead.slots.place import check_numbers, check_rights, check_there
from edgead.slots.staging import staged
from edgead.slots.state import (
    MOST,
    STATE,
    SlotRecord,
    State,
    WentBack,
    digest_of,
    read_state,
    state_put_back,
    write_state,
)
from edgead.trust import AnyTrust, Trust, accept, device_trust
from edgead.trust.floors import Mark, allowed_back, raise_floor, raised_floor

GOOD_AFTER, MOST_STARTS = 100, 3
WAIT_SECONDS = 30.0
"""How long the start of a runner waits for an installer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slot:
    """An installed bundle.

    Attributes:
        name: its folder's.
        path: its folder, which stays the same when ``current`` leads elsewhere.
        state: ``trial`` until it's marked good.
        starts: how often a runner began with it while it was on trial.
        installed: when, UTC; empty where the folder has forgotten.
        line, serial: of the signature that was accepted; None where none was demanded.
    """

    name: str
    path: Path
    state: Literal["trial", "good"]
    starts: int
    installed: str
    line: str | None
    serial: int | None


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
        return None if name is None else self._slot(read_state(self.folder), name)

    def previous(self) -> Slot | None:
        """The slot that ``rollback`` goes back to, or None; raises as ``current``."""
        check_rights(self.folder)
        state = read_state(self.folder)
        name = self._before(state, target(self.folder, CURRENT))
        return None if name is None else self._slot(state, name)

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
        trust = self._demanded()
        with locked(self.folder):
            state = self._settled()
            now = target(self.folder, CURRENT)
            with (
                output_errors(self.folder),
                staging_folder(self.folder / "incoming") as new,
            ):
                copy = staged(source, new, trust, engine)
                known = None if now is None else self._whole(now)
                if now is not None and known is not None and _same(known, copy):
                    _log.info("%s: %s is installed already", self.folder, source)
                    return self._slot(state, now)
                mark = None if known is None or trust is None else _mark(known, trust, _record(state, now))
                state = _signed_by(state, now, mark)
                name = self._free(copy.digest)
                signed = None if copy.signed is None else Mark.of(copy.signed.statement)
                before = self._last_good(state, now)
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
            if known is not None and (left := _left_behind(known, copy)):
                _log.warning(
                    "%s: %s of the bundle before it don't come along: it keeps them, for `edgead rollback`",
                    self.folder,
                    left,
                )
            self._tidied()
            return self._slot(state, name)

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
            return self._back(self._settled(), why)

    def good(self) -> Slot:
        """Mark the current slot as good: it stays, and is what a later one goes back to.

        Raises:
            NoSlotError: nothing is installed.
            SlotsRightsError, SlotsBusyError, OutputError: as ``install``.
        """
        self._installed()
        with locked(self.folder):
            return self._good(self._settled())

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
                slot = self._started(self._settled())
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
                        self._good(self._settled())
                self._running = None
            except (
                EdgeadError,
                OSError,
            ) as error:  # busy, or a full disk: it's tried again with a later frame
                self._left = GOOD_AFTER
                _log.warning("%s: the slot can't be marked good yet (%s)", self.folder, error)

    # ------------------------------------------------------------ how; the lock is held

    def _demanded(self) -> Trust | None:
        trust = self._trust or device_trust()
        if trust is None or trust.state is not None:
            return trust
        return replace(trust, state=check_numbers(self.folder / SERIALS))

    def _tidied(self) -> None:
        """As ``_settled``, after a change that stands: what can't be done now, the next writer does."""
        with _left_for_later(self.folder):
            self._settled()

    def _settled(self) -> State:
        """Finish what a killed writer began, remove what it left, and return what holds.

        What can't be removed or written is said; that the current bundle's number can't be kept is an error.
        """
        state, name = read_state(self.folder), target(self.folder, CURRENT)
        before = self._before(state, name)
        kept = {each for each in (name, before) if each is not None}
        pruned = replace(state, slots={each: state.slots[each] for each in kept if each in state.slots})
        record = _record(pruned, name)
        try:
            if record is not None and record.signed is not None:
                trust = self._demanded()
                file = Path(trust.state) if trust and trust.state else check_numbers(self.folder / SERIALS)
                raise_floor(file, record.signed)
        finally:
            with _left_for_later(self.folder):
                if not leads(self.folder, PREVIOUS, before):
                    point(self.folder, PREVIOUS, before)
                sweep(self.folder, kept)
                if pruned != state:
                    write_state(self.folder, pruned)
        return pruned

    def _back(self, state: State, why: str, level: int = logging.INFO) -> Slot:
        name = target(self.folder, CURRENT)
        before = self._before(state, name)
        if name is None or before is None:
            raise NoSlotError(f"{shown(self.folder)}: there's no slot to go back to; install a bundle")
        demanded = self._demanded()
        signed = self._as_installed(before, _record(state, before), demanded)
        with contextlib.ExitStack() as undone:
            undone.enter_context(pointed(self.folder, PREVIOUS, self._before(state, before)))
            if signed is not None and demanded is not None and demanded.state is not None:
                undone.enter_context(allowed_back(Path(demanded.state), signed))
            make_current(self.folder, before)
        _log.log(level, "%s: went back from %s to %s (%s)", self.folder, short(name), short(before), why)
        state = replace(state, went_back=WentBack(name, before, _utc(), why))
        with _left_for_later(self.folder, "why it went back isn't kept"):  # it goes back on a full disk, too
            write_state(self.folder, state)
        self._tidied()
        return self._slot(state, before)

    def _as_installed(self, name: str, record: SlotRecord | None, demanded: Trust | None) -> Mark | None:
        """Check that a slot's bundle is the one that was installed there, and how it was signed then.

        Returns:
            Its statement's, under whose number it may be accepted again; None where none is demanded.

        Raises:
            ForeignSlotError: it's another bundle, or another statement is accepted by now.
            BundleError: it can't be trusted.
        """
        path = self.folder / name
        found = read_bundle(path, trust=None if demanded is None else replace(demanded, state=None))
        if found.digest != digest_of(name):
            raise _foreign(path, "it holds another bundle than was installed there")
        if found.signed is None:
            return None
        signed = Mark.of(found.signed.statement)
        if record is None or record.signed is None:
            raise _foreign(path, "no signature was demanded when it was installed, or that was forgotten")
        if signed != record.signed:
            raise _foreign(
                path,
                f"serial {record.signed.serial} was accepted for it, and it has {signed.serial} now"
                if signed.serial != record.signed.serial
                else "another signature was accepted for it than the one that it has now",
            )
        return signed

    def _started(self, state: State) -> Slot:
        slot = self._needed(self.current())
        record = state.slots.get(slot.name)
        if record is None or record.state == "good":
            return slot
        if record.starts >= record.most_starts:
            if self._before(state, slot.name) is not None:
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
        return self._slot(state, slot.name)

    def _good(self, state: State) -> Slot:
        slot = self._needed(self.current())
        record = state.slots.get(slot.name)
        if record is not None and record.state == "trial":
            state = replace(state, slots={**state.slots, slot.name: replace(record, state="good")})
            write_state(self.folder, state)
            _log.info("%s: %s is good", self.folder, slot.name)
        return self._slot(state, slot.name)

    def _whole(self, name: str) -> Bundle | None:
        """A slot's bundle, or None where it's damaged or another than was installed."""
        path = self.folder / name
        try:
            found = read_bundle(path, demanded=False)
            if found.digest != digest_of(name):
                raise _foreign(path, "it holds another bundle than was installed there")
            return found
        except BundleError as error:
            _log.warning("%s", error)
            return None

    def _before(self, state: State, name: str | None) -> str | None:
        """What is previous to a slot, where that is still there."""
        record = _record(state, name)
        before = None if record is None else record.before
        return before if before is not None and before != name and (self.folder / before).is_dir() else None

    def _last_good(self, state: State, name: str | None) -> str | None:
        """What a new slot goes back to: this one, or the one before where this is on trial itself."""
        record = _record(state, name)
        on_trial = record is not None and record.state == "trial"
        return (self._before(state, name) if on_trial else None) or name

    def _free(self, digest: str) -> str:
        name, number = digest, 2
        while os.path.lexists(self.folder / name):
            name, number = f"{digest}.{number}", number + 1
        return name

    def _installed(self) -> Slot:
        check_there(self.folder)
        return self._needed(self.current())

    def _needed(self, slot: Slot | None) -> Slot:
        if slot is None:
            raise NoSlotError(f"{shown(self.folder)}: nothing is installed here; `edgead install` does that")
        return slot

    def _slot(self, state: State, name: str) -> Slot:
        record = state.slots.get(name)
        path = self.folder / name
        if record is None:  # the state file was removed
            return Slot(name, path, "good", 0, "", None, None)
        signed = record.signed
        line, serial = (None, None) if signed is None else (signed.line, signed.serial)
        return Slot(name, path, record.state, record.starts, record.installed, line, serial)


def _record(state: State, name: str | None) -> SlotRecord | None:
    return None if name is None else state.slots.get(name)


def _mark(bundle: Bundle, trust: Trust, record: SlotRecord | None) -> Mark | None:
    """Of the current bundle's statement, by which it's accepted now, no replay; else by which it was."""
    try:
        return Mark.of(accept(subject_of(bundle), trust).statement)
    except TrustError:
        return None if record is None else record.signed


def _signed_by(state: State, name: str | None, mark: Mark | None) -> State:
    """Keep by which statement the current slot is accepted, which it may have got since it was installed."""
    if name is None or mark is None:
        return state
    record = _record(state, name) or SlotRecord("", None, "good", 0, GOOD_AFTER, MOST_STARTS, None)
    return replace(state, slots={**state.slots, name: replace(record, signed=mark)})


def _foreign(path: Path, why: str) -> ForeignSlotError:
    return ForeignSlotError(
        f"{shown(path)}: {why}, so nothing goes back to it; install the bundle that you want instead"
    )


@contextmanager
def _left_for_later(
    folder: Path, what: str = "what was left is removed by the next command"
) -> Iterator[None]:
    """Say what can't be written of what needn't be, and go on."""
    try:
        yield
    except (EdgeadError, OSError) as error:
        _log.warning("%s: %s (%s)", folder, what, error)


def _same(one: Bundle, other: Bundle) -> bool:
    """Whether two are the same, with all that lies beside them."""
    beside = [(each.revisions, each.lessons, each.signatures) for each in (one, other)]
    return beside[0] == beside[1] and one.digest == other.digest


def _left_behind(before: Bundle, now: Bundle) -> str:
    """What was decided on this device and isn't in the new bundle, in a few words."""
    revised = before.revisions[: len(now.revisions)] != now.revisions or len(before.revisions) > len(
        now.revisions
    )
    taught = before.lessons.all[: len(now.lessons.all)] != now.lessons.all or before.taught > now.taught
    kinds = ("revised thresholds", before.revision and revised), ("lessons", before.taught and taught)
    return " and ".join(kind for kind, holds in kinds if holds)


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


__all__ = ["GOOD_AFTER", "MOST_STARTS", "Slot", "Slots"]
