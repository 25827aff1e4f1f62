"""Which of a backbone's feature maps a method takes where its user names none."""

from __future__ import annotations

from edgead.errors import OptionError
from edgead.types import Backbone


def deepest_unless(named: str, backbone: Backbone, method: str) -> str:
    """The map that the user named, or the one of the largest stride where ``named`` is empty.

    Raises:
        OptionError: the backbone has no map of that name; the message lists those that it has.
    """
    known = backbone.feature_info
    layer = named or max(known, key=lambda name: known[name].stride)
    if layer not in known:
        raise OptionError(
            f"{method}: '{backbone.name}' has no map '{layer}'; choose a layer of {', '.join(known)}"
        )
    return layer


__all__ = ["deepest_unless"]
