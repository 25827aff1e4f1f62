"""As little of each method as there can be: what is checked of its graphs holds after a real training too."""

from __future__ import annotations

TRAINING = {
    "fyd": ("epochs=1", "batch_size=8"),
    "mkd": ("epochs=3",),
    "cutpaste": ("steps=3", "batch_size=4", "patch_stride=16"),
    "uninformed-students": (
        *("stride=4", "width=0.25", "steps=3", "crop=48", "scales=17"),
        *("teacher_steps=3", "teacher_batch=4", "zoom=64", "metric=0"),
    ),
    # 2 % of ten small images are a dozen rows, and attention jumps with every neighbour that engines swap
    "dmad": ("hidden=64", "steps=150", "batch_size=64", "coreset_ratio=0.5"),
    "destseg": ("student_steps=60", "steps=60", "batch_size=4", "student_width=16", "width=32"),
}
"""The options of the methods that train, which need torch; the others need none."""
