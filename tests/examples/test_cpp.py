"""The C++ example, where it can be built: Python's scores to 1e-4."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import run_cpp_example as example


def test_cpp_prints_pythons_scores(compiled, tmp_path):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    if (reason := example.missing()) is not None:
        pytest.skip(f"the C++ example can't be built: {reason}")
    from tests.bundles import bad_image, good_image, write_images

    images = [*(good_image(700 + i) for i in range(10)), *(bad_image(i) for i in range(10))]
    folder = write_images(tmp_path / "images", images)
    program = example.build(tmp_path / "build")
    apart = example.differences(
        program, compiled("openvino", "int8").bundle.path, sorted(folder.glob("*.png"))
    )
    assert len(apart) == 20 and np.max(apart) <= example.LARGEST_DIFFERENCE
