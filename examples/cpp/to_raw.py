"""Write images as raw BGR bytes after the resize rule, 0000.raw and so on, for a judge without OpenCV.

python to_raw.py BUNDLE FOLDER IMAGE...
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgead.bundle import read_bundle
from edgead.images import read_image
from edgead.window_rule import rule_of

bundle, folder = Path(sys.argv[1]), Path(sys.argv[2])
rule = rule_of(read_bundle(bundle))
for index, name in enumerate(sys.argv[3:]):
    image = rule.apply(read_image(Path(name)))
    (folder / f"{index:04d}.raw").write_bytes(image.tobytes())
