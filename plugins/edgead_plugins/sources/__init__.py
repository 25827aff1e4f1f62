"""Sources of a line's images that need no camera: a folder, and a camera that is made up."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_sources(register: Register) -> None:
    here = "edgead_plugins.sources"
    register("folder", f"{here}.folder:Folder", "a folder's images, replayed or as they come in")
    register(
        "generated", f"{here}.generated:Generated", "a virtual camera, with faults where a script says so"
    )
