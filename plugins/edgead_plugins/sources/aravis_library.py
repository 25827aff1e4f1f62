"""The library aravis, called as C: its Python bindings can be had for the system's own Python alone."""

from __future__ import annotations

import ctypes as c
import ctypes.util
import functools
from collections.abc import Callable
from typing import Any

from edgead.errors import DeviceError, MissingDependencyError, cut, one_line

NAMES = ("libaravis-0.8.so.0", "libaravis-0.8.0.dylib", "libaravis-0.8-0.dll")
INSTALL = "apt install libaravis-0.8-0, or your system's like of it"

_P, _S, _I, _U = c.c_void_p, c.c_char_p, c.c_int, c.c_uint
_SIZE = c.POINTER(c.c_size_t)
_NONE: tuple[Any, ...] = ()
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "update_device_list": (None, _NONE),
    "get_n_devices": (_U, _NONE),
    **{
        f"get_device_{what}": (_S, (_U,))
        for what in ("id", "vendor", "model", "serial_nbr", "address", "protocol")
    },
    "camera_get_device": (_P, (_P,)),
    "device_get_feature": (_P, (_P, _S)),
    "camera_create_chunk_parser": (_P, (_P,)),
    "buffer_new_allocate": (_P, (c.c_size_t,)),
    "buffer_get_status": (_I, (_P,)),
    "buffer_get_frame_id": (c.c_uint64, (_P,)),
    "buffer_set_frame_id": (None, (_P, c.c_uint64)),
    "buffer_get_timestamp": (c.c_uint64, (_P,)),
    "buffer_set_timestamp": (None, (_P, c.c_uint64)),
    "buffer_get_image_pixel_format": (c.c_uint32, (_P,)),
    "buffer_get_image_width": (_I, (_P,)),
    "buffer_get_image_height": (_I, (_P,)),
    "buffer_get_image_padding": (None, (_P, c.POINTER(_I), c.POINTER(_I))),
    "buffer_get_image_data": (_P, (_P, _SIZE)),
    "stream_push_buffer": (None, (_P, _P)),
    "stream_timeout_pop_buffer": (_P, (_P, c.c_uint64)),
}
_FALLIBLE: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "camera_new": (_P, (_S,)),
    "camera_create_stream": (_P, (_P, _P, _P)),
    "camera_get_payload": (_U, (_P,)),
    "camera_start_acquisition": (None, (_P,)),
    "camera_stop_acquisition": (None, (_P,)),
    "camera_execute_command": (None, (_P, _S)),
    "camera_is_feature_available": (_I, (_P, _S)),
    "camera_dup_available_enumerations_as_strings": (c.POINTER(_S), (_P, _S, c.POINTER(_U))),
    "camera_get_string": (_S, (_P, _S)),
    "camera_get_integer": (c.c_int64, (_P, _S)),
    "camera_get_float": (c.c_double, (_P, _S)),
    "camera_get_boolean": (_I, (_P, _S)),
    "camera_set_string": (None, (_P, _S, _S)),
    "camera_set_integer": (None, (_P, _S, c.c_int64)),
    "camera_set_float": (None, (_P, _S, c.c_double)),
    "camera_set_boolean": (None, (_P, _S, _I)),
    "chunk_parser_get_integer_value": (c.c_int64, (_P, _P, _S)),
}
"""Those that take a GError besides, as their last argument."""
LOST = c.CFUNCTYPE(None, _P, _P)
"""The handler of the signal ``control-lost``."""


class _GError(c.Structure):
    _fields_ = (("domain", c.c_uint32), ("code", c.c_int), ("message", c.c_char_p))


class Aravis:
    """The library's functions, by their names without ``arv_``.

    Raises:
        MissingDependencyError: it isn't installed.
    """

    def __init__(self) -> None:
        arv, gobject, glib = _loaded(*NAMES), _loaded("gobject-2.0"), _loaded("glib-2.0")
        self._calls: dict[str, Callable[..., Any]] = {}
        error = c.POINTER(c.POINTER(_GError))
        for name, (result, arguments) in (_FUNCTIONS | _FALLIBLE).items():
            function = arv[f"arv_{name}"]
            function.restype = result
            function.argtypes = (*arguments, error) if name in _FALLIBLE else arguments
            self._calls[name] = function
        self._free_error = _declared(glib, "g_error_free", None, c.POINTER(_GError))
        self._free = _declared(glib, "g_free", None, _P)
        self.unref = _declared(gobject, "g_object_unref", None, _P)
        self._connect = _declared(gobject, "g_signal_connect_data", c.c_ulong, _P, _S, LOST, _P, _P, _I)
        self.disconnect = _declared(gobject, "g_signal_handler_disconnect", None, _P, c.c_ulong)
        self._type_name = _declared(gobject, "g_type_name_from_instance", _S, _P)
        self._set = gobject["g_object_set"]  # it takes any number of arguments
        self._set.restype = None

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one that can't fail."""
        return self._calls[name](*arguments)

    def tried(self, what: str, name: str, *arguments: Any) -> Any:
        """Call one that can; ``what`` begins the message.

        Raises:
            DeviceError: it fails.
        """
        error = c.POINTER(_GError)()
        found = self._calls[name](*arguments, c.byref(error))
        if error:
            why = (error.contents.message or b"no message").decode("utf-8", "replace")
            self._free_error(error)
            raise DeviceError(f"aravis: {what} ({one_line(why, 'message', 200)})")
        return found

    def texts(self, what: str, name: str, *arguments: Any) -> list[str]:
        """Call one that returns an array of texts, which are the library's own."""
        count = c.c_uint()
        array = self.tried(what, name, *arguments, c.byref(count))
        if not array:
            return []
        found = [(array[i] or b"").decode("utf-8", "replace") for i in range(count.value)]
        self._free(c.cast(array, _P))
        return found

    def kind(self, instance: int) -> str:
        """The name of an object's class."""
        return (self._type_name(instance) or b"").decode()

    def set_number(self, instance: int, name: str, value: int) -> None:
        """Set a property that is an unsigned integer."""
        self._set(c.c_void_p(instance), name.encode(), c.c_uint(value), c.c_void_p(None))

    def on_lost(self, device: int, handler: Any) -> int:
        """Have ``handler``, a ``LOST`` that the caller keeps, called where control of a device is lost."""
        return int(self._connect(device, b"control-lost", handler, None, None, 0))


@functools.cache
def library() -> Aravis:
    """The library, loaded once a process; raises as ``Aravis``."""
    return Aravis()


def _declared(where: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = where[name]
    function.restype, function.argtypes = result, arguments
    return function


def _loaded(*names: str) -> Any:
    why = ""
    for name in names:
        for each in (name, ctypes.util.find_library(name) or "", f"lib{name}.so.0"):
            if not each:
                continue
            try:
                return c.CDLL(each)
            except OSError as error:
                why = why or str(error)
    raise MissingDependencyError(f"source 'aravis' needs the library {names[0]}: {INSTALL} ({cut(why, 100)})")


__all__ = ["LOST", "Aravis", "library"]
