"""Every error that edgead raises on purpose, and the exit code that the command line gives it.

    EdgeadError                      1
    ├── InputError                   2   what the user gave can't be used
    │   ├── ImageError                   an image file
    │   ├── DatasetError                 a folder of images
    │   ├── FrameError                   an array given to a detector
    │   ├── RoiError                     a file that should hold a region of interest
    │   ├── TeachError                   the bundle can't be taught this
    │   ├── DriftStateError              a file that should hold what Drift has learned
    │   ├── KeyFileError                 a file that should hold a key, or its passphrase
    │   ├── NoSlotError                  no slot of this kind: nothing installed, nothing to go back to
    │   ├── RecordError                  what a line has recorded can't be read
    │   │   ├── NoRecordError                    no record in the folder
    │   │   ├── RecordVersionError               another version of edgead has written it
    │   │   ├── DamagedRecordError               no database, or not one as edgead writes it
    │   │   └── AuditChainError                  a row of its audit was changed, or is gone
    │   ├── OptionError                  an option's name or value
    │   │   └── NeedsFileError                   a backbone's file or network isn't named
    │   └── UnknownNameError             a method, backbone, target ... that nobody registers
    ├── BundleError                  3   a bundle can't be trusted
    │   ├── BundleNotFoundError          no such folder, or no manifest in it
    │   ├── ManifestError                the manifest isn't readable or breaks the schema
    │   │   └── ManifestDigestError              it was changed
    │   ├── UnknownFormatError           a format number that this version doesn't know
    │   ├── UnsafePathError              a listed path is absolute or climbs out
    │   ├── LinkError                    a link or a special file in the bundle
    │   ├── MissingFileError             a listed file isn't there
    │   ├── ExtraFileError               a file that the manifest doesn't list
    │   ├── FileSizeError                a file is shorter, longer or larger than allowed
    │   ├── HashMismatchError            a file's content was changed
    │   ├── UnsafeModelError             a model names data elsewhere, or sizes that no engine should try
    │   ├── ModelFormatError             a model isn't of the kind that its name says, or is cut short
    │   ├── GraphError                   a graph's input or outputs aren't a bundle's
    │   ├── CarriedImageError            an image in the bundle can't be used
    │   ├── ReferenceFactsError          what fit's bundle has for export contradicts itself
    │   ├── HeldOutFileError             the held-out images' figures aren't as the manifest says
    │   ├── TrialError                   the model doesn't open and run within limits
    │   ├── SbomError                    the list of packages that made it isn't one
    │   ├── LessonError                  what it was taught can't be trusted
    │   │   ├── ChangedLessonError               a lesson's content was changed
    │   │   ├── MissingLessonError               a lesson, or a file of one, isn't there
    │   │   └── ForeignLessonError               a lesson was given to another bundle
    │   ├── RevisionError                a revision of the thresholds can't be trusted
    │   │   ├── RevisionFieldError           not as edgead writes one: an unknown field, a range ...
    │   │   ├── RevisionDigestError          it was changed
    │   │   ├── RevisionGapError             a number is missing
    │   │   └── RevisionChainError           it follows another bundle or another revision
    │   ├── SlotStateError               what a folder of slots says of itself can't be read
    │   ├── SlotsRightsError             others can change a folder of slots
    │   ├── ForeignSlotError             a slot holds another bundle than was installed there
    │   └── TrustError                   a signature is demanded, and none will do
    │       ├── UnsignedError                no signature
    │       ├── ForeignSignatureError        another key's, or for another bundle
    │       ├── StatementError               a statement or signature was changed or is damaged
    │       ├── UnsignedChangeError          revisions or lessons that no signature covers
    │       ├── WrongLineError               signed for another line
    │       ├── ExpiredError                 its time is over
    │       ├── ReplayedError                a serial number under the last accepted one
    │       └── TrustStateError              the file of the last accepted numbers can't be read
    ├── GateError                    4   an export gate was missed
    │   ├── ParityError                  a session differs from exact arithmetic
    │   │   └── SelfTestError                a probe's score isn't the recorded one, on this device
    │   └── PrecisionError               the form separates good from defective worse than stated
    ├── EngineError                  5   an engine, device or compiler
    │   ├── MissingDependencyError       a package of an extra isn't installed
    │   ├── DeviceError                  the engine has no such device
    │   ├── CompileError                 the engine can't run this graph
    │   ├── InferenceError               the engine failed while it ran the graph
    │   │   └── NotFiniteError           the graph yields NaN or infinity: no verdict
    │   └── TimedOutError                what was started isn't done yet: wait again
    ├── PluginError                  6   a plugin breaks its contract
    ├── OutputError                  7   a result can't be written
    │   ├── SlotsBusyError                   another process installs or goes back in this folder
    │   └── RecordBusyError                  another process holds a line's record
    └── TrainingError                8   a network's training went wrong: nothing of it is used

A message is one line and says what to do next. Exit code 0 is success, 130 an interrupt (Ctrl-C), 128 and its
number a signal to end (143 for SIGTERM).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal


class EdgeadError(Exception):
    """The root: catch this to catch everything that edgead raises on purpose."""

    exit_code = 1


class InputError(EdgeadError):
    """What the user gave can't be used."""

    exit_code = 2


class ImageError(InputError):
    """An image file can't be read or used; the message starts with its path."""


class DatasetError(InputError):
    """A folder doesn't hold the images that the command needs."""


class RoiError(InputError):
    """A file doesn't say which region of interest is meant, or one that these images can have."""


class TeachError(InputError):
    """A bundle can't be taught this: its method has no bank, say, or the room for lessons is used up."""


class FrameError(InputError):
    """An array given to a detector has a wrong type, shape or value."""


class DriftStateError(InputError):
    """A file isn't what ``edgead.Drift`` has learned, or not of this bundle and setting."""


class KeyFileError(InputError):
    """A file doesn't hold the key that it should, or the passphrase isn't the key's."""


class NoSlotError(InputError):
    """A folder of slots has no such slot: nothing is installed, or there's nothing to go back to."""


class RecordError(InputError):
    """What a line has recorded can't be read."""


class NoRecordError(RecordError):
    """There's no record in a folder."""


class RecordVersionError(RecordError):
    """A line's record was written by another version of edgead."""


class DamagedRecordError(RecordError):
    """A line's record is no database, is damaged, or isn't as edgead writes it."""


class AuditChainError(RecordError):
    """A row of a record's audit was changed, put in or taken out."""


class OptionError(InputError):
    """An option is unknown, or its value is of the wrong type or out of range."""


class NeedsFileError(OptionError):
    """A backbone needs a file, or a network's name, that wasn't given; what is known without comes along.

    Args:
        message: what it needs.
        feature_maps: channels and stride of each map by name, the finest first; empty where only the file or
            network that is meant can tell.
        multiple: what height and width must be multiples of, or None where that isn't known.
        maps: in a few words where the maps come from, where ``feature_maps`` is empty.
    """

    def __init__(
        self,
        message: str,
        feature_maps: Mapping[str, tuple[int, int]] | None = None,
        multiple: int | None = None,
        maps: str = "",
    ) -> None:
        super().__init__(message)
        self.feature_maps, self.multiple, self.maps = feature_maps or {}, multiple, maps


class UnknownNameError(InputError):
    """Nobody registers this name; the message lists the near matches.

    Args:
        kind: what was asked for, for instance ``"method"``.
        name: the name that isn't known.
        known: the names that are.
        note: something that may explain it, added in brackets.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], note: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"no {kind} named '{cut(name)}': {hint}" + (f" ({note})" if note else ""))
        self.kind, self.name, self.known = kind, name, known


class BundleError(EdgeadError):
    """A bundle can't be trusted, so nothing of it is used."""

    exit_code = 3


class BundleNotFoundError(BundleError):
    """The folder, or the manifest in it, doesn't exist."""


class ManifestError(BundleError):
    """The manifest isn't JSON, or a field is missing, of the wrong type or not finite."""


class ManifestDigestError(ManifestError):
    """The manifest was changed: its digest is another."""


class UnknownFormatError(BundleError):
    """The bundle's format number isn't one that this version reads."""


class UnsafePathError(BundleError):
    """A path in the manifest is absolute, climbs out of the bundle or isn't plain."""


class LinkError(BundleError):
    """The bundle holds a link or a special file."""


class MissingFileError(BundleError):
    """A file that the manifest lists isn't there."""


class ExtraFileError(BundleError):
    """A file is there that the manifest doesn't list."""


class FileSizeError(BundleError):
    """A file's size differs from the manifest's, or is over the limit."""


class HashMismatchError(BundleError):
    """A file's SHA-256 differs from the manifest's."""


class SbomError(BundleError):
    """A bundle's list of the packages that made it isn't one."""


class UnsafeModelError(BundleError):
    """A model names data outside of its file, or sizes that no engine should try: none has seen it."""


class ModelFormatError(BundleError):
    """A bundle's model isn't of the kind that its name says, or is cut short: no engine will open it."""


class GraphError(BundleError):
    """A graph's input or outputs aren't a bundle's, or what it yields is no number."""


class CarriedImageError(BundleError):
    """An image that the bundle carries is damaged, or not of the model's size."""


class ReferenceFactsError(BundleError):
    """What a reference bundle has for export contradicts itself, so that fit can't have written it."""


class HeldOutFileError(BundleError):
    """The held-out images' figures aren't as the manifest says, or no image yields such."""


class TrialError(BundleError):
    """Tried in a process of its own, the model doesn't open and run within the limits of time and memory."""


class RevisionError(BundleError):
    """A revision of the thresholds can't be trusted, so no threshold of the bundle is used."""


class RevisionFieldError(RevisionError):
    """A revision isn't as edgead writes one: no JSON, or a field is missing, unknown or out of range."""


class RevisionDigestError(RevisionError):
    """A revision was changed: its digest is another."""


class RevisionGapError(RevisionError):
    """The revisions' numbers have a gap, or a revision stands under another's number."""


class RevisionChainError(RevisionError):
    """A revision was made for another bundle, or follows another revision."""


class LessonError(BundleError):
    """What a bundle was taught can't be trusted, so the bundle isn't used: never silently untaught."""


class ChangedLessonError(LessonError):
    """A lesson's content, or that of a file of it, isn't what was written."""


class MissingLessonError(LessonError):
    """A lesson before others isn't there, or a file that a lesson lists."""


class ForeignLessonError(LessonError):
    """A lesson was given to another bundle, or to this one before it was exported again."""


class SlotStateError(BundleError):
    """What a folder of slots says of itself isn't as edgead writes it."""


class SlotsRightsError(BundleError):
    """A folder of slots, or one above it, is another user's or can be written by others."""


class ForeignSlotError(BundleError):
    """A slot doesn't hold the bundle that was installed there, or not by the signature that was accepted."""


class TrustError(BundleError):
    """A signature is demanded, and the bundle has none that will do, so nothing of it is used."""


class UnsignedError(TrustError):
    """The bundle has no signature."""


class ForeignSignatureError(TrustError):
    """The bundle's signatures are of keys that aren't trusted, or were made for another bundle."""


class StatementError(TrustError):
    """A statement or its signature isn't as it was made, or isn't as edgead makes one."""


class UnsignedChangeError(TrustError):
    """The thresholds were revised or lessons taught, and no signature covers that; or are about to be."""


class WrongLineError(TrustError):
    """The bundle was signed for another line."""


class ExpiredError(TrustError):
    """The signature's time is over, or the clock is before the signature's own time."""


class ReplayedError(TrustError):
    """The signature's serial number is under the last that was accepted for its line."""


class TrustStateError(TrustError):
    """The file of the last accepted serial numbers isn't as edgead writes it."""


class GateError(EdgeadError):
    """A gate was missed: an export's, so no bundle was written, or the proof where a bundle is loaded."""

    exit_code = 4


class ParityError(GateError):
    """A session is off exact arithmetic by more than the tolerance: at export, or where a bundle loads."""


class SelfTestError(ParityError):
    """A carried image's score isn't the recorded one on this device: a verdict wouldn't be either."""


class PrecisionError(GateError):
    """A precision separates held-out good images from synthetic defects worse than allowed."""


class EngineError(EdgeadError):
    """An engine, a device or a compiler can't do what was asked."""

    exit_code = 5


class MissingDependencyError(EngineError):
    """A package isn't installed; the message names the extra that brings it."""


class DeviceError(EngineError):
    """The engine doesn't know or can't open the device."""


class CompileError(EngineError):
    """The engine can't read or compile the graph."""


class InferenceError(EngineError):
    """The engine failed while it ran the graph: no fault of the frame's, so the next may fare no better."""


class NotFiniteError(InferenceError):
    """The graph's score or map holds NaN or infinity, so there is no verdict."""


class TimedOutError(EngineError):
    """What was started isn't done within the time given: it goes on, and may be waited for again."""


class PluginError(EdgeadError):
    """A plugin breaks its contract; the message names its distribution."""

    exit_code = 6


class OutputError(EdgeadError):
    """A result can't be written: read-only, full, or in the way of something else."""

    exit_code = 7


class SlotsBusyError(OutputError):
    """Another process installs a bundle, or goes back to one, in the same folder of slots."""


class RecordBusyError(OutputError):
    """Another process holds a line's record for longer than a transaction takes."""


class LineBusyError(OutputError):
    """Another process runs the same line."""


class TrainingError(EdgeadError):
    """A training went wrong: its loss isn't finite, or its features collapsed."""

    exit_code = 8


def cut(text: str, most: int = 200) -> str:
    """Return a text's beginning, where it's longer than anybody types: a message is one line to read."""
    return text if len(text) <= most else f"{text[:most]}..."


def one_line(
    error: BaseException | str, part: Literal["named", "message", "first", "last"] = "named", width: int = 500
) -> str:
    """What an error says, often a page long where it's an engine's or a compiler's, in one line.

    Args:
        error: the error, or the text that a process left on stderr.
        part: ``named``, the class and the whole message; ``message``, the message alone; ``first`` or
            ``last``, that line of it, or the class where it has none.
        width: longest line in characters; what is longer is cut.
    """
    kind = "" if isinstance(error, str) else type(error).__name__
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    if part in ("named", "message"):
        message = " ".join(lines) or "no message"
        line = f"{kind}: {message}" if kind and part == "named" else message
    else:
        line = lines[0 if part == "first" else -1] if lines else kind or "no message"
    return line if len(line) <= width else f"{line[: width - 4]} ..."
