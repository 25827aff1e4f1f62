"""What the page shows: answers that change nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgead.errors import EdgeadError, one_line
from edgead.line.page.clients import Stream
from edgead.line.page.forms import of_event, of_news, of_row
from edgead.line.page.site import Refusal, Site
from edgead.line.record import VerdictRow

TREND = 300
"""Scores that the trend shows."""
STRIP = 24
"""Rejects that the strip shows."""
ROWS = 200
"""Rows of a list."""


def state(site: Site) -> dict[str, Any]:
    """What is so now, in a few kilobytes: sent several times a second."""
    news, status = site.news, site.news.status or {}
    reasons = news.reasons
    return {
        "utc_ms": time.time_ns() // 1_000_000,
        "ready": not reasons,
        "reasons": reasons,
        "verdicts": news.verdicts,
        "rejected": news.rejected,
        "tally": status.get("tally"),
        "deadline_ms": site.setup.deadline_ms,
        "processes": status.get("processes", []),
        "open": status.get("cameras", {}),
        "sinks": status.get("sinks", {}),
        "dropped": status.get("dropped", 0),
        "notice": _last(site),
        "record": status.get("record"),
        "cameras": {name: _camera(site, name) for name in news.cameras},
    }


def _last(site: Site) -> dict[str, Any] | None:
    if not site.news.notices:
        return None
    last = site.news.notices[-1]
    return {"utc_ms": last["utc_ns"] // 1_000_000, "code": last["code"], "text": last["text"]}


def _camera(site: Site, name: str) -> dict[str, Any]:
    known, shown = site.news.cameras[name], site.live.newest(name)
    return {
        "verdict": None if known.last is None else of_news(known.last),
        "live": None
        if shown is None
        else {"number": shown.number, "map": shown.map is not None, **shown.facts},
        "drift": site.drifting.record(name),
    }


async def stream(site: Site, request: Request) -> Response | Stream:
    """Server-sent events."""
    site.who(request)
    if site.clients.is_full:
        site.clients.turned_away += 1
        raise Refusal(503, "too many pages are open: close one, or raise clients in the line's [page]", 10)
    return site.clients.stream(lambda: site.known(request) is not None)


async def trend(site: Site, request: Request) -> Response:
    """The last scores of a camera: [score, threshold, whether it's a reject], the newest last."""
    site.who(request)
    name = site.camera(request.query_params.get("camera")).name
    last = list(site.news.cameras[name].scores)[-TREND:]
    if len(last) < TREND and site.history.is_kept:
        last = await _kept_scores(site, name, TREND) or last
    return JSONResponse({"scores": [[s, t, d == "reject"] for s, t, d in last]})


async def _kept_scores(site: Site, camera: str, most: int) -> list[tuple[float, float, str]]:
    try:
        rows = await asyncio.to_thread(lambda: site.history.reader().scores(camera, most))
    except EdgeadError:
        return []
    return [(row.score, row.threshold, row.decision) for row in rows]


async def rejects(site: Site, request: Request) -> Response:
    """The last rejects of all cameras or one, the newest first; with their numbers where they're recorded."""
    site.who(request)
    wanted = request.query_params.get("camera")
    camera = None if not wanted else site.camera(wanted).name
    problem = ""
    if site.history.is_kept:
        try:
            rows = await asyncio.to_thread(
                lambda: site.history.reader().verdicts(STRIP, decision="reject", camera=camera)
            )
            return JSONResponse({"rejects": [of_row(row) for row in rows], "problem": ""})
        except EdgeadError as error:
            problem = one_line(error, "message", 300)
    found = [r for r in reversed(site.news.rejects) if camera is None or r["camera"] == camera]
    return JSONResponse({"rejects": [of_news(record) for record in found[:STRIP]], "problem": problem})


async def verdict(site: Site, request: Request) -> Response:
    """One verdict of the record, by its number, or by run and trigger where it was said just now."""
    site.who(request)
    row = await row_of(site, request)
    found = of_row(row)
    image, its_map = await asyncio.to_thread(
        lambda: (site.history.reader().image(row.id), site.history.reader().map(row.id))
    )
    filed = await asyncio.to_thread(lambda: site.history.reader().feedback())
    mine = [f"{each.kind}: {each.state}" for each in filed if each.verdict == row.id]
    return JSONResponse({**found, "image": image is not None, "map": its_map is not None, "filed": mine})


async def row_of(site: Site, request: Request) -> VerdictRow:
    """The verdict that a request's path names.

    Raises:
        Refusal: there's none.
    """
    number = request.path_params.get("number")
    if number is not None:
        row = await asyncio.to_thread(lambda: site.history.reader().verdict(int(number)))
    else:
        camera = site.camera(request.query_params.get("camera")).name
        run, trigger = request.query_params.get("run", ""), request.query_params.get("trigger", "")
        if not (trigger.isascii() and trigger.isdecimal() and len(trigger) < 19):
            raise Refusal(400, "trigger must be a whole number")
        row = await asyncio.to_thread(lambda: site.history.find(camera, run, int(trigger)))
    if row is None:
        raise Refusal(
            404, "this verdict isn't in the record, or not yet: try again, or choose it in the strip"
        )
    return row


async def image(site: Site, request: Request) -> Response:
    """A kept image: ``image``, ``small``, or ``map`` in colours."""
    site.who(request)
    number, which = int(request.path_params["number"]), request.path_params["which"]

    def made() -> tuple[bytes, str] | None:
        reader = site.history.reader()
        file = reader.map(number) if which == "map" else reader.image(number)
        if file is None or which == "image":
            return None if file is None else site.pictures.whole(file)
        data = site.pictures.small(file) if which == "small" else site.pictures.coloured_file(file)
        return None if data is None else (data, "image/jpeg" if which == "small" else "image/png")

    if which not in ("image", "small", "map"):
        raise Refusal(404, "there's no such picture")
    return _picture(await asyncio.to_thread(made))


async def live(site: Site, request: Request) -> Response:
    """A live picture by its number: ``image``, or ``map`` in colours."""
    site.who(request)
    shown = site.live.get(site.camera(request.path_params["camera"]).name, int(request.path_params["number"]))
    which = request.path_params["which"]
    if shown is None or which not in ("image", "map"):
        raise Refusal(404, "this picture has gone by")
    if which == "image":
        return _picture((shown.image, "image/jpeg"))
    coloured = None if shown.map is None else await asyncio.to_thread(site.pictures.coloured, shown.map)
    return _picture(None if coloured is None else (coloured, "image/png"))


def _picture(found: tuple[bytes, str] | None) -> Response:
    if found is None:
        raise Refusal(404, "there's no such picture, or it was removed since")
    return Response(found[0], media_type=found[1], headers={"Cache-Control": "private, max-age=600"})


async def events(site: Site, request: Request) -> Response:
    """What the line said of itself, the newest first: of the record, or since the page was started."""
    site.who(request)
    if site.history.is_kept:
        try:
            rows = await asyncio.to_thread(lambda: site.history.reader().events(ROWS))
            told = [
                {"utc_ms": r.utc_ns // 1_000_000, "code": r.code, "text": of_event(r.code, r.values)}
                for r in rows
            ]
            return JSONResponse({"events": told})
        except EdgeadError:
            pass
    last = [{**n, "utc_ms": n["utc_ns"] // 1_000_000} for n in reversed(site.news.notices)]
    return JSONResponse({"events": last})


async def record_health(site: Site, request: Request) -> Response:
    """Whether the record can be read, and why not; and how the page itself is."""
    site.who(request)
    well, why = await asyncio.to_thread(site.history.state)
    return JSONResponse({
        "kept": site.history.is_kept,
        "well": well,
        "why": why if site.history.is_kept else "no [log] in the line's file: nothing is kept",
        "clients": len(site.clients),
    })  # fmt: skip


async def job(site: Site, request: Request) -> Response:
    """How a job is, told to who began it."""
    user = site.who(request, "engineer")
    found = site.jobs.get(int(request.path_params["number"]))
    if found is None or found.user != user.name:
        raise Refusal(404, "there's no such job")
    return JSONResponse(found.record())


__all__ = [
    "events",
    "image",
    "job",
    "live",
    "record_health",
    "rejects",
    "row_of",
    "state",
    "stream",
    "trend",
    "verdict",
]
