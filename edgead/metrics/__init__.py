"""Scores and anomaly maps to figures, with how sure they are: arithmetic alone, no images and no engine.

``scores`` has the metrics of image scores and their curves, ``pixels`` those of anomaly maps, ``uncertainty``
the intervals and comparisons. ``curves`` defines what they all compute. All needs numpy and nothing more, so
that it may run on a camera; only ``pixels`` takes OpenCV besides, to find the masks' regions.
"""
