"""The way in: the page itself, logging in and out, and the files that come with it."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

import jinja2
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from edgead.line.page.logins import WINDOW
from edgead.line.page.site import Refusal, Site
from edgead.line.page.users import NOBODY, matches

MOST_WAITING = 8
"""Logins that wait for their password to be looked at; more are told to come back."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Files:
    """What is shipped: templates and static files, read once. No name of a request's ever becomes a path."""

    def __init__(self) -> None:
        folder = files("edgead.line.page")
        static = [file for file in folder.joinpath("static").iterdir() if file.is_file()]
        self.static = {
            file.name: (file.read_bytes(), _TYPES["." + file.name.rpartition(".")[2]]) for file in static
        }
        named = {file.name: file.read_text("utf-8") for file in folder.joinpath("templates").iterdir()}
        self._templates = jinja2.Environment(
            loader=jinja2.DictLoader(named), autoescape=True, undefined=jinja2.StrictUndefined
        )

    def page(self, name: str, status: int = 200, **values: Any) -> Response:
        """A template as an answer."""
        text = self._templates.get_template(name).render(**values)
        return Response(text, status, media_type="text/html; charset=utf-8")


async def home(site: Site, files: Files, request: Request) -> Response:
    """The page, or the way to log in."""
    found = site.known(request)
    if found is None:
        return RedirectResponse("/login", 303)
    user, session = found
    return files.page(
        "page.html",
        line=site.setup.line,
        user=user.name,
        role=user.role,
        csrf=session.csrf,
        cameras=list(site.setup.cameras),
        kept=site.history.is_kept,
        files=sorted(files.static),
    )


async def login(site: Site, files: Files, request: Request) -> Response:
    """The form, and what is sent by it."""
    if request.method == "GET":
        return RedirectResponse("/", 303) if site.known(request) else _form(site, files)
    try:
        form = parse_qs((await request.body()).decode(), max_num_fields=8, encoding="utf-8")
    except ValueError:
        form = {}
    name, password = (form.get(key, [""])[0][:300] for key in ("user", "password"))
    address = site.address(request)
    wait = max(site.by_address.wait(address), site.by_user.wait(name))
    if wait:
        site.refused_logins += 1
        return _form(site, files, 429, f"Too many failed logins. Try again in {-(-wait // 60)} min.", wait)
    if site.waiting >= MOST_WAITING:
        return _form(site, files, 429, "Too many people are logging in. Try again in a moment.", 5)
    site.by_address.failed(address)  # until it's known better: others may try meanwhile
    site.by_user.failed(name)
    user = site.sessions.users().get(name)
    site.waiting += 1
    try:
        async with site.hashing:
            kept = NOBODY if user is None else user.password
            right = await asyncio.to_thread(matches, password, kept)
    finally:
        site.waiting -= 1
    if user is None or not right:
        site.refused_logins += 1
        await asyncio.to_thread(site.history.note, name if user is not None else "(unknown)", "login-failed")
        return _form(site, files, 401, "User or password isn't right.")
    site.by_address.forget(address)
    site.by_user.forget(name)
    await asyncio.to_thread(site.history.note, user.name, "login")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        site.cookie,
        site.sessions.begin(user),
        httponly=True,
        samesite="strict",
        secure=site.setup.is_secure,
        path="/",
    )
    return answer


def _form(site: Site, files: Files, status: int = 200, why: str = "", wait: int | None = None) -> Response:
    answer = files.page("login.html", status, line=site.setup.line, why=why, minutes=round(WINDOW / 60))
    if wait is not None:
        answer.headers["Retry-After"] = str(wait)
    return answer


async def logout(site: Site, request: Request) -> Response:
    """End the session."""
    await site.changing(request, "viewer")
    site.sessions.end(request.cookies.get(site.cookie))
    answer = JSONResponse({})
    answer.delete_cookie(site.cookie, path="/", secure=site.setup.is_secure, httponly=True, samesite="strict")
    return answer


async def static(files: Files, request: Request) -> Response:
    """A file that was shipped; nothing in them is anybody's."""
    found = files.static.get(request.path_params["name"])
    if found is None:
        raise Refusal(404, "there's no such file")
    return Response(found[0], media_type=found[1], headers={"Cache-Control": "no-cache"})


__all__ = ["Files", "home", "login", "logout", "static"]
