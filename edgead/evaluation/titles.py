"""Figures for people: their names, and their values in percent."""

from __future__ import annotations

from edgead.metrics.scores import Metric
from edgead.metrics.verdicts import Share

TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "aupro_30": "PRO 30 %",
    "aupro_5": "PRO 5 %",
    "iap": "instance AP",
    "iap_90": "IAP@90",
}
"""Name of a metric to what people call it."""
VERDICTS = {"escapes": "escapes", "false_alarms": "false alarms", "image_f1": "image F1"}
"""The same of what depends on the threshold."""


def percent(metric: Metric) -> str:
    """The value with two decimals, or ``-``."""
    return "-" if metric.value is None else f"{100 * metric.value:.2f}"


def interval(metric: Metric) -> str:
    """``low - high`` in percent, or nothing."""
    return "" if metric.interval is None else " - ".join(f"{100 * end:.2f}" for end in metric.interval)


def share_percent(share: Share) -> str:
    """The share with two decimals, or ``-``."""
    return "-" if share.value is None else f"{100 * share.value:.2f}"


def share_interval(share: Share) -> str:
    """``low - high`` in percent, or nothing."""
    return "" if share.interval is None else " - ".join(f"{100 * end:.2f}" for end in share.interval)


__all__ = ["TITLES", "VERDICTS", "interval", "percent", "share_interval", "share_percent"]
