"""What another threshold would have done to the last scores, and the audit: what engineers look at first."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgead.errors import EdgeadError
from edgead.line.identity import identity_of
from edgead.line.page.changing import SIGNED, threshold_of
from edgead.line.page.news import SCORES
from edgead.line.page.site import Refusal, Site
from edgead.line.record import verify_audit

EXAMPLES = 12
"""Parts whose verdict would be another, that are named."""


async def threshold(site: Site, request: Request) -> Response:
    """A camera's threshold, its history, and the last scores."""
    site.who(request, "engineer")
    camera = site.camera(request.query_params.get("camera"))
    bundle = await asyncio.to_thread(camera.read)
    revisions = [
        {"number": r.number, "when": r.when, "by": r.by, "why": r.why, "restores": r.restores,
         "threshold": float(r.thresholds[camera.product or "default"].score)
         if (camera.product or "default") in r.thresholds else None}
        for r in bundle.revisions[-50:]
    ]  # fmt: skip
    now = await asyncio.to_thread(threshold_of, camera)
    scores = [score for _, score, _ in await _scores(site, camera.name, bundle.digest)]
    refused = SIGNED if site.setup.wants_signatures else ""
    if not refused and not site.history.is_kept:
        refused = "this line keeps no record, where every change is audited: add [log] to its file"
    return JSONResponse({
        "threshold": now,
        "revisions": revisions[::-1],
        "scores": scores,
        "refused": refused,
        "bundle": identity_of(bundle),
    })  # fmt: skip


async def preview(site: Site, request: Request) -> Response:
    """How many of the last scores would have been rejected at another threshold, and which would change."""
    site.who(request, "engineer")
    camera = site.camera(request.query_params.get("camera"))
    try:
        wanted = float(request.query_params.get("threshold", ""))
    except ValueError:
        wanted = math.nan
    if not 0 < wanted < 1e9:
        raise Refusal(400, "threshold must be a number over 0")
    bundle = await asyncio.to_thread(camera.read)
    rows = await _scores(site, camera.name, bundle.digest)
    would = [(number, score, was == "reject", score > wanted) for number, score, was in rows]
    newly = [each for each in would if each[3] and not each[2]]
    spared = [each for each in would if each[2] and not each[3]]
    return JSONResponse({
        "of": len(would),
        "rejected": sum(was for _, _, was, _ in would),
        "would": sum(will for _, _, _, will in would),
        "newly_rejected": len(newly),
        "newly_accepted": len(spared),
        "examples": [_example(each) for each in (*newly[-EXAMPLES:], *spared[-EXAMPLES:])],
    })  # fmt: skip


def _example(each: tuple[int | None, float, bool, bool]) -> dict[str, Any]:
    return {"id": each[0], "score": each[1], "rejected": each[2], "would": each[3]}


async def _scores(site: Site, camera: str, bundle: str) -> list[tuple[int | None, float, str]]:
    """(number, score, decision) of the last verdicts, of the record or heard since the page was started.

    Of those in the record only this bundle's: another one's scores have a scale of their own.
    """
    if site.history.is_kept:
        try:
            rows = await asyncio.to_thread(lambda: site.history.reader().scores(camera, SCORES))
            return [(row.id, row.score, row.decision) for row in rows if row.bundle == bundle]
        except EdgeadError:
            pass
    return [(None, score, decision) for score, _, decision in site.news.cameras[camera].scores]


async def audit(site: Site, request: Request) -> Response:
    """The audit, the newest first, and whether its chain is whole."""
    site.who(request, "engineer")
    text = request.query_params.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
    rows = await asyncio.to_thread(lambda: site.history.reader().audit(100, before))
    whole, why = True, ""
    if before is None and site.history.folder is not None:
        try:
            await asyncio.to_thread(verify_audit, site.history.folder)
        except EdgeadError as error:
            whole, why = False, str(error)
    told = [
        {"id": r.id, "utc_ms": r.utc_ns // 1_000_000, "user": r.user, "what": r.what, "camera": r.camera,
         "old": r.old, "new": r.new, "reason": r.reason, "hash": r.hash[:12]}
        for r in rows
    ]  # fmt: skip
    return JSONResponse({"audit": told, "whole": whole, "why": why})


__all__ = ["audit", "preview", "threshold"]
