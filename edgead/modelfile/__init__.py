"""What a model's file says before any engine sees it: that all of it is in there, and of a size to try.

An engine takes a path that a model names for its own, tries one parser after the other on what isn't its
format, and believes a shape. So models are looked at here first, without any engine's package: ONNX graphs
and OpenVINO's, each in one pass with bounds. What is inside is still an engine's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgead.errors import CompileError, UnsafeModelError
from edgead.modelfile import ir, onnx
from edgead.modelfile.faults import MalformedModel, UnsafeModel

_CHECKS: Mapping[str, Callable[[bytes], None]] = {".onnx": onnx.check, ".xml": ir.check}


def check_model(name: str, content: bytes, where: str = "", strict: bool = False) -> None:
    """Look at a model's file; others than ``.onnx`` and ``.xml`` aren't looked at.

    Args:
        name: the file's; its end tells the kind.
        where: what the message begins with.
        strict: refuse what isn't of its kind at all, too, which else is left to whoever opens it.

    Raises:
        UnsafeModelError: it names data elsewhere, or a size that no engine should try.
        CompileError: it isn't of its kind, and ``strict`` is set.
    """
    check = _CHECKS.get(name[name.rfind(".") :] if "." in name else "")
    if check is None:
        return
    try:
        check(content)
    except UnsafeModel as fault:
        raise UnsafeModelError(f"{where}{name}: {fault}; don't use this model") from None
    except MalformedModel as fault:
        if strict:
            raise CompileError(f"{name}: {fault}; export it again") from None


__all__ = ["check_model"]
