"""Which of a backbone's feature maps a method takes, where its user names some and where not."""

from __future__ import annotations

from collections.abc import Sequence

from edgead.errors import OptionError
from edgead.types import Backbone


def named_or_at(named: Sequence[str], strides: Sequence[int], backbone: Backbone) -> Sequence[str]:
    """The maps that the user named; else those of these strides, or as many of the last where it has none."""
    known = backbone.feature_info
    found = [name for name, info in known.items() if info.stride in strides]
    return named or found or list(known)[-len(strides) :]


def deepest_unless(named: str, backbone: Backbone, method: str) -> str:
    """The map that the user named, or the one of the largest stride where ``named`` is empty.

    Raises:
        OptionError: see ``check_known``.
    """
    known = backbone.feature_info
    layer = named or max(known, key=lambda name: known[name].stride)
    check_known([layer], backbone, method)
    return layer


def check_known(layers: Sequence[str], backbone: Backbone, method: str) -> None:
    """Raise ``OptionError`` where the backbone lacks one of the maps; the message lists those that it has."""
    known = backbone.feature_info
    for name in layers:
        if name not in known:
            raise OptionError(
                f"{method}: '{backbone.name}' has no map '{name}'; choose layers of {', '.join(known)}"
            )


__all__ = ["check_known", "deepest_unless", "named_or_at"]
