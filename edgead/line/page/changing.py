"""What operators and engineers change: what was filed, lessons and thresholds. Each change is audited first.

A lesson or threshold is a verb of edgead's on the bundle's folder, in a process of its own; the line takes it
up by a reload. Nothing here touches what judges now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgead.bundle import read_bundle
from edgead.bundle.taught import CAPACITY
from edgead.errors import EdgeadError, InputError, TeachError, one_line
from edgead.line.identity import identity_of
from edgead.line.page.forms import of_row
from edgead.line.page.setup import CameraSetup, Seen
from edgead.line.page.site import Refusal, Site, number_of, text_of
from edgead.line.record.filing import FeedbackKind
from edgead.line.record.rows import FeedbackRow, VerdictRow
from edgead.teaching import required

KEEPING, LOOK = 3.0, 0.1
"""Seconds that keeping an image that the recorder holds may take, and between two looks."""
SIGNED = (
    "bundles must be signed on this line, so none is changed here: teach or calibrate a copy at the "
    "workbench, sign that, and install it"
)


async def file(site: Site, request: Request) -> Response:
    """An operator's word that a verdict was wrong: filed, with its image, and nothing else."""
    user, given = await site.changing(request, "operator")
    kind, reason = given.get("kind"), text_of(given, "reason")
    if kind not in ("false-alarm", "missed"):
        raise Refusal(400, "kind must be false-alarm or missed")
    row = await _verdict(site, given)
    if row.why != "score":
        raise Refusal(409, "no score stands behind this verdict, so there's nothing to teach")
    if row.decision != ("reject" if kind == "false-alarm" else "accept"):
        raise Refusal(409, f"this part's verdict was {row.decision}, which can't be a {kind}")
    await asyncio.to_thread(
        site.history.audit, user.name, kind, row.camera, row.decision, _called(row), reason or "no remark"
    )
    number = await asyncio.to_thread(site.history.file, row.id, cast("FeedbackKind", kind), user.name, reason)
    has_image = await _has_image(site, row)
    site.clients.change()
    return JSONResponse({"feedback": number, "image": has_image})


async def _has_image(site: Site, row: VerdictRow) -> bool:
    """Whether a verdict's image is kept; where it isn't, the recorder may hold it yet, and keeps it then."""

    def kept() -> bool:
        return site.history.reader().image(row.id) is not None

    has_image = await asyncio.to_thread(kept)
    if has_image or not site.keep(row.camera, row.run, row.trigger):
        return has_image
    for _ in range(round(KEEPING / LOOK)):
        await asyncio.sleep(LOOK)
        if await asyncio.to_thread(kept):
            return True
    return False


async def _verdict(site: Site, given: dict[str, Any]) -> VerdictRow:
    if given.get("id") is not None:
        number = number_of(given, "id")
        row = await asyncio.to_thread(lambda: site.history.reader().verdict(number))
    else:
        camera, run = site.camera(given.get("camera")).name, text_of(given, "run", 40)
        row = await asyncio.to_thread(site.history.find, camera, run, number_of(given, "trigger"))
    if row is None:
        raise Refusal(
            404, "this verdict isn't in the record, or not yet: try again, or choose it in the strip"
        )
    return row


async def filed(site: Site, request: Request) -> Response:
    """What was filed, the newest first, each with its verdict."""
    site.who(request, "operator")

    def found() -> list[dict[str, Any]]:
        reader = site.history.reader()
        rows = []
        for each in reader.feedback(limit=100):
            row = reader.verdict(each.verdict)
            if row is not None:
                has_image = reader.image(row.id) is not None
                rows.append({**_feedback(each), "verdict": of_row(row), "image": has_image})
        return rows

    return JSONResponse({"filed": await asyncio.to_thread(found)})


def _feedback(each: FeedbackRow) -> dict[str, Any]:
    return {"id": each.id, "kind": each.kind, "user": each.user, "reason": each.reason, "state": each.state,
            "utc_ms": each.utc_ns // 1_000_000}  # fmt: skip


async def lessons(site: Site, request: Request) -> Response:
    """What a camera's bundle was taught, and how many rows are left."""
    site.who(request, "engineer")
    camera = site.camera(request.query_params.get("camera"))
    bundle = await asyncio.to_thread(camera.read)
    undone = bundle.lessons.undone
    all_of_it = [
        {"number": each.number, "kind": each.kind, "time": each.time, "by": each.by, "reason": each.reason,
         "image": each.image, "rows": each.rows, "undoes": each.undoes, "undone_by": undone.get(each.number)}
        for each in bundle.lessons.all
    ]  # fmt: skip
    used = {
        kind: sum(e.rows for e in bundle.lessons.active if e.kind == kind)
        for kind in ("false-alarm", "missed")
    }
    refused = SIGNED if site.setup.wants_signatures else ""
    if not refused:
        try:
            required(bundle)
        except TeachError as error:
            refused = str(error)
    return JSONResponse({
        "lessons": all_of_it[::-1],
        "used": used,
        "capacity": CAPACITY,
        "refused": refused,
        "bundle": identity_of(bundle),
    })  # fmt: skip


async def teach(site: Site, request: Request) -> Response:
    """Teach what was filed, or with ``dry`` say what it would cost: begins a job."""
    user, given = await site.changing(request, "engineer")
    _unsigned(site)
    number, dry = number_of(given, "feedback"), given.get("dry") is True

    def looked_up() -> tuple[FeedbackRow, VerdictRow, Path]:
        reader = site.history.reader()
        row = next((each for each in reader.feedback() if each.id == number), None)
        verdict = None if row is None else reader.verdict(row.verdict)
        if row is None or verdict is None:
            raise Refusal(404, "nothing of this number was filed")
        image = reader.image(verdict.id)
        if image is None:
            raise Refusal(409, "no image of this part was kept, so that it can't be taught")
        return row, verdict, image

    row, verdict, image = await asyncio.to_thread(looked_up)
    camera = site.camera(verdict.camera)
    reason = row.reason or "no remark"
    words = [f"--{row.kind}", str(image), f"--reason={reason}", f"--by={user.name}"]
    words += ["--dry-run"] if dry else []
    words += ["--yes"] if given.get("accept_changes") is True else []
    seen = await asyncio.to_thread(_seen, camera, None if dry else given)

    async def work() -> Any:
        done = await site.jobs.edgead(_teach(camera, seen, *words))
        if not dry and done["lessons"]:
            await asyncio.to_thread(site.history.taught, number)
        bundle = await asyncio.to_thread(read_bundle, seen.folder, verify=False, demanded=False)
        active = (each for each in bundle.lessons.active if each.kind == row.kind)
        used = sum(each.rows for each in active)
        return {**_cost(done), "used": used, "capacity": CAPACITY, "bundle": seen.identity}

    if dry:
        return JSONResponse(site.jobs.begin("cost", user.name, work).record())
    told = f"{row.kind} {_called(verdict)}"
    return await _begin(site, "teach", user.name, camera, None, told, reason, work)


def _cost(done: dict[str, Any]) -> dict[str, Any]:
    """What a lesson does, of what ``edgead teach --json`` prints."""
    others = [each for each in done["others"] if each["before"] != each["after"]][:10]
    own = done["images"][0] if done["images"] else None
    return {
        "image": own,
        "threshold": done["threshold"],
        "changed": done["changed"],
        "others": len(done["others"]),
        "changes": others,
        "largest_move": done["largest_move"],
        "lessons": [lesson["number"] for lesson in done["lessons"]],
        "notices": [notice["text"] for notice in done["notices"]],
    }


async def undo(site: Site, request: Request) -> Response:
    """Take a lesson back: begins a job."""
    user, given = await site.changing(request, "engineer")
    _unsigned(site)
    camera, number, reason = site.camera(given.get("camera")), number_of(given, "lesson"), _reason(given)
    words = ["--undo", str(number), f"--reason={reason}", f"--by={user.name}", "--yes"]
    seen = await asyncio.to_thread(_seen, camera, given)

    async def work() -> Any:
        return _cost(await site.jobs.edgead(_teach(camera, seen, *words)))

    return await _begin(site, "undo", user.name, camera, f"lesson {number}", None, reason, work)


def _teach(camera: CameraSetup, seen: Seen, *words: str) -> list[str]:
    engine = [] if camera.engine is None else ["--engine", camera.engine]
    return ["teach", str(seen.folder), *words, *engine, "--json"]


async def set_threshold(site: Site, request: Request) -> Response:
    """Set a camera's threshold, or with ``undo`` the one before: begins a job that ends with a reload."""
    user, given = await site.changing(request, "engineer")
    _unsigned(site)
    camera, reason = site.camera(given.get("camera")), _reason(given)
    if given.get("undo") is not True and not _is_threshold(given.get("threshold")):
        raise Refusal(400, "threshold must be a number over 0")
    seen = await asyncio.to_thread(_seen, camera, given)
    before = await asyncio.to_thread(threshold_of, camera)
    note = [f"--by={user.name}", f"--why={reason}"]
    if given.get("undo") is True:
        what, words, after = "threshold-undo", ["--undo", *note], "the one before"
    else:
        value = given["threshold"]
        product = [] if camera.product is None else ["--product", camera.product]
        what, words, after = "threshold", ["--threshold", repr(float(value)), *product, *note], f"{value:.6g}"
        words += ["--device", camera.device] if camera.device != "auto" else []
        words += [] if camera.engine is None else ["--engine", camera.engine]

    async def work() -> Any:
        done = await site.jobs.edgead(["calibrate", str(seen.folder), *words, "--quiet", "--json"])
        return {
            "threshold": done["threshold"],
            "notices": [notice["text"] for notice in done.get("notices", ())],
        }

    return await _begin(site, what, user.name, camera, f"{before:.6g}", after, reason, work)


def _is_threshold(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def threshold_of(camera: CameraSetup) -> float:
    """The image threshold that holds from the next reload; blocking."""
    manifest = camera.read().manifest
    if camera.product is not None and camera.product in manifest.thresholds:
        return float(manifest.thresholds[camera.product].score)
    return float(manifest.threshold.score)


# ---------------------------------------------------------------- what all changes share


def _seen(camera: CameraSetup, given: dict[str, Any] | None) -> Seen:
    """A camera's bundle, which has to be the one that a request says it was made for, if there's one;
    blocking.

    Raises:
        Refusal: it's another one by now: what its user looked at, scores for instance, says nothing of it.
    """
    seen = camera.seen()
    if given is not None and text_of(given, "bundle") != seen.identity:
        raise Refusal(409, "the camera's bundle has changed since you looked at it: look again")
    return seen


async def _begin(
    site: Site,
    what: str,
    user: str,
    camera: CameraSetup,
    old: str | None,
    new: str | None,
    reason: str,
    work: Callable[[], Awaitable[Any]],
) -> Response:
    """Begin a job that changes a bundle: audited before, and again where it fails; then a reload."""

    async def audited() -> Any:
        await asyncio.to_thread(site.history.audit, user, what, camera.name, old, new, reason)
        try:
            done = await work()
        except (EdgeadError, ValueError, KeyError, TypeError) as error:
            why = one_line(error, "message", 900)
            await asyncio.to_thread(site.history.audit, user, f"{what}-failed", camera.name, old, new, why)
            raise InputError(why) from None
        return {**done, "reload": await asyncio.to_thread(_reload, site, camera)}

    if not site.history.is_kept:
        raise Refusal(409, "this line keeps no record, where every change is audited: add [log] to its file")
    return JSONResponse(site.jobs.begin(what, user, audited).record())


def _reload(site: Site, camera: CameraSetup) -> list[str]:
    """Have the line take up a bundle that was changed, for each camera that judges by it: their names."""
    folder = camera.folder().resolve()
    same = [each.name for each in site.setup.cameras.values() if each.folder().resolve() == folder]
    return [name for name in same if site.reload(name)]


def _unsigned(site: Site) -> None:
    if site.setup.wants_signatures:
        raise Refusal(409, SIGNED)


def _reason(given: dict[str, Any]) -> str:
    reason = text_of(given, "reason")
    if len(reason) < 3:
        raise Refusal(400, "a reason is missing: say why, in a few words")
    return reason


def _called(row: VerdictRow) -> str:
    return f"part {row.part} ({row.run}-{row.trigger})"


__all__ = ["SIGNED", "file", "filed", "lessons", "set_threshold", "teach", "threshold_of", "undo"]
