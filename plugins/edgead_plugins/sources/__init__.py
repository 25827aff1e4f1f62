"""Sources of a line's images: cameras, and what needs none, a folder and a camera that is made up."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_sources(register: Register) -> None:
    here = "edgead_plugins.sources"
    register(
        "aravis", f"{here}.aravis:AravisCamera", "GigE Vision and USB3 Vision cameras by the library aravis"
    )
    register("gentl", f"{here}.gentl:GenTL", "any camera whose vendor supplies a GenTL producer, a .cti file")
    register("opencv", f"{here}.opencv:OpenCV", "V4L2 cameras, RTSP streams and video files by OpenCV")
    register("pylon", f"{here}.pylon:PylonCamera", "Basler cameras by pypylon")
    register("folder", f"{here}.folder:Folder", "a folder's images, replayed or as they come in")
    register(
        "generated", f"{here}.generated:Generated", "a virtual camera, with faults where a script says so"
    )
