"""The page as an ASGI application: which address gives what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgead.errors import EdgeadError, one_line
from edgead.line.page import changing, entry, metrics, shown, thresholds
from edgead.line.page.clients import Stream
from edgead.line.page.guard import Guard
from edgead.line.page.site import Refusal, Site

Handler = Callable[[Request], Awaitable[Response | Stream]]


def application(site: Site) -> Guard:
    """The page."""
    files = entry.Files()
    routes = [
        _route("/", partial(entry.home, site, files)),
        _route("/login", partial(entry.login, site, files), "GET", "POST"),
        _route("/logout", partial(entry.logout, site), "POST"),
        _route("/static/{name}", partial(entry.static, files)),
        _route("/health", partial(metrics.health, site)),
        _route("/ready", partial(metrics.ready, site)),
        _route("/metrics", partial(metrics.metrics, metrics.registry_of(site))),
        _route("/api/now", partial(shown.stream, site)),
        _route("/api/trend", partial(shown.trend, site)),
        _route("/api/rejects", partial(shown.rejects, site)),
        _route("/api/verdict", partial(shown.verdict, site)),
        _route("/api/verdicts/{number:int}", partial(shown.verdict, site)),
        _route("/api/events", partial(shown.events, site)),
        _route("/api/record", partial(shown.record_health, site)),
        _route("/api/jobs/{number:int}", partial(shown.job, site)),
        _route("/images/{number:int}/{which}", partial(shown.image, site)),
        _route("/live/{camera}/{number:int}/{which}", partial(shown.live, site)),
        _route("/api/filed", partial(changing.filed, site)),
        _route("/api/file", partial(changing.file, site), "POST"),
        _route("/api/lessons", partial(changing.lessons, site)),
        _route("/api/teach", partial(changing.teach, site), "POST"),
        _route("/api/undo", partial(changing.undo, site), "POST"),
        _route("/api/threshold", partial(thresholds.threshold, site)),
        _route("/api/threshold", partial(changing.set_threshold, site), "POST"),
        _route("/api/preview", partial(thresholds.preview, site)),
        _route("/api/audit", partial(thresholds.audit, site)),
    ]
    handlers: dict[Any, Any] = {
        Refusal: _refused,
        EdgeadError: _failed,
        Exception: partial(_broken, site),
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, site.setup.hosts, site.setup.is_secure)


def _route(path: str, handler: Any, *methods: str) -> Route:
    async def endpoint(request: Request) -> Response | Stream:
        answer: Response | Stream = await handler(request)
        return answer

    return Route(path, endpoint, methods=list(methods) or ["GET"])


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    answer = JSONResponse({"error": error.why}, error.status)
    if error.wait is not None:
        answer.headers["Retry-After"] = str(error.wait)
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    """What edgead says in one sentence: a record that isn't there yet, a bundle that can't be read."""
    return JSONResponse({"error": one_line(error, "message", 1000)}, 409)


async def _broken(site: Site, request: Request, error: Exception) -> Response:
    """A fault of the page's own: the line's log has it."""
    site.fault(f"{request.method} {request.url.path[:100]}: {one_line(error, 'named', 300)}")
    return JSONResponse({"error": "the page has a fault here; the line's log says which"}, 500)


__all__ = ["application"]
