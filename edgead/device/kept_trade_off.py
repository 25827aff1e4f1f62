"""The trade-off that a bundle tells of itself: its good images' scores against the defects drawn on them."""

from __future__ import annotations

from edgead.bundle import Bundle
from edgead.device.trade_off import Scores, TradeOff, trade_off
from edgead.held_out import HeldOut, by_size, read_held_out


def kept_trade_off(bundle: Bundle) -> TradeOff | None:
    """Rates of false alarms against the synthetic defects found, by size, with the threshold in force.

    None where an older edgead wrote the bundle and kept no scores.

    Raises:
        HeldOutFileError: the scores are damaged.
    """
    figures = read_held_out(bundle)
    if figures is None:
        return None
    current = bundle.manifest.threshold.score
    return trade_off(
        figures.scores.tolist(), figures.groups or None, synthetic_defects(figures), current=current
    )


def synthetic_defects(figures: HeldOut) -> dict[str, Scores]:
    """Scores of the defects that edgead drew, by size; empty where none were kept."""
    return {size: figures.defects[there].tolist() for size, there in by_size(figures.areas).items()}


__all__ = ["kept_trade_off", "synthetic_defects"]
