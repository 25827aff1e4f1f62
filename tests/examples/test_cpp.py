"""The C++ example, where it can be built: Python's scores to 1e-4."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.sealed import reseal

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import run_cpp_example as example


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that the program was built in."""
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    if (reason := example.missing()) is not None:
        pytest.skip(f"the C++ example can't be built: {reason}")
    folder = tmp_path_factory.mktemp("build")
    example.build(folder)
    return folder


def test_cpp_prints_pythons_scores(compiled, built, tmp_path):
    from tests.bundles import bad_image, good_image, write_images

    images = [*(good_image(700 + i) for i in range(10)), *(bad_image(i) for i in range(10))]
    folder = write_images(tmp_path / "images", images)
    apart = example.differences(
        built / "judge", compiled("openvino", "int8").bundle.path, sorted(folder.glob("*.png"))
    )
    assert len(apart) == 20 and np.max(apart) <= example.LARGEST_DIFFERENCE


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_cpp_reads_and_resizes_image_files_as_python_does(resize, compiled, built, tmp_path):
    if not example.reads_images(built):
        pytest.skip("the C++ example is built without OpenCV: no libopencv-dev here")
    from tests.bundles import bad_image

    bundle = shutil.copytree(compiled("openvino", "fp32").bundle.path, tmp_path / "other.edgead")
    manifest = bundle / "manifest.json"
    assert '"resize": "stretch"' in manifest.read_text()
    manifest.write_text(reseal(manifest.read_text().replace('"resize": "stretch"', f'"resize": "{resize}"')))
    sizes = [(80, 120), (64, 96), (31, 40), (300, 50), (41, 500), (333, 221)]  # width, height
    for index, size in enumerate(sizes):
        cv2.imwrite(str(tmp_path / f"{index}.png"), cv2.resize(bad_image(index), size))
    cv2.imwrite(str(tmp_path / "grey.png"), bad_image(7)[..., 0])
    cv2.imwrite(str(tmp_path / "jpeg.jpg"), bad_image(8))
    images = sorted([*tmp_path.glob("*.png"), *tmp_path.glob("*.jpg")])
    apart = example.differences(built / "judge", bundle, images, raw=False)
    assert len(apart) == 8 and np.max(apart) <= example.LARGEST_DIFFERENCE


def test_cpp_judges_by_the_newest_revision(compiled, built, tmp_path):
    import edgead
    from tests.bundles import good_image, write_images

    bundle = shutil.copytree(compiled("openvino", "fp32").bundle.path, tmp_path / "revised.edgead")
    folder = write_images(tmp_path / "images", [good_image(700 + i) for i in range(4)])
    for threshold in (1e6, 1e-6):  # verdicts must be Python's, or this raises
        edgead.calibrate(bundle, threshold=threshold)
        example.differences(built / "judge", bundle, sorted(folder.glob("*.png")))


def test_cpp_gives_no_verdict_without_a_number(built, tmp_path):
    from tests.core.test_no_verdict import make, picture

    bundle = make(tmp_path, "line.edgead", "score", "Sqrt", engine="openvino")  # white spoils the score
    files = []
    for spot in (200, 255):
        files.append(tmp_path / f"{spot}.raw")
        files[-1].write_bytes(picture(spot).tobytes())
    done = subprocess.run([built / "judge", bundle, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no number" in done.stderr
    assert done.stdout.splitlines() == [f"{files[0]}\t200\tanomalous"]


def test_cpp_refuses_a_bundle_with_a_region_of_interest(built, tmp_path):
    from edgead.roi import Roi
    from tests.mean_bundle import HEIGHT, WIDTH, write_mean_bundle

    bundle = write_mean_bundle(
        tmp_path / "part.edgead", roi=Roi(np.eye(WIDTH, dtype=bool)[:HEIGHT], (0, 0, 0))
    )
    (tmp_path / "black.raw").write_bytes(bytes(HEIGHT * WIDTH * 3))
    words = [built / "judge", bundle, tmp_path / "black.raw"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert "it has a region of interest, which this program doesn't apply" in done.stderr
