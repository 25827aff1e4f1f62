"""The sources ``gentl`` and ``pylon`` with the virtual cameras that their packages bring along."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead.cli import main
from edgead.errors import DeviceError, OptionError
from edgead.types import Grab, SeenCamera
from edgead_plugins.pixels import by_name
from edgead_plugins.sources.camera import CameraSource, Raw
from edgead_plugins.sources.frame_ids import FrameIds
from tests.mean_bundle import write_mean_bundle
from tests.plugins import pixels_oracle as oracle
from tests.plugins.test_pixels import expected

WIDTH, HEIGHT = 32, 12


def plain(rows: list[list[Any]]) -> list[list[Any]]:
    return [[list(pixel) if isinstance(pixel, tuple) else pixel for pixel in row] for row in rows]


def grabs(source: CameraSource, count: int) -> list[Grab]:
    """The next images, copied: their memory is the camera's."""
    found = []
    for _ in range(count):
        grab = source.read(5.0)
        assert grab is not None
        found.append(grab if grab.image is None else replace(grab, image=grab.image.copy()))
    return found


# ---------------------------------------------------------------- gentl


@pytest.fixture(scope="module")
def viky() -> str:
    genicam = pytest.importorskip("genicam", reason="genicam isn't installed")
    file = Path(genicam.__file__).parent / "viky.cti"
    if not file.is_file():
        pytest.skip("this genicam has no producer of its own")
    return str(file)


@pytest.fixture
def gentl(viky: str) -> Iterator[Callable[..., Any]]:
    from edgead_plugins.sources.gentl import GenTL, GentlOptions

    made: list[CameraSource] = []

    def make(**options: Any) -> CameraSource:
        made.append(GenTL(GentlOptions(**{"cti": viky, "camera": "1", **options})))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_gentl_sees_the_producers_cameras_and_takes_one_by_serial_or_id(gentl: Any, viky: str) -> None:
    seen = gentl().cameras()
    assert [each.options for each in seen] == [{"cti": viky, "camera": str(n)} for n in range(3)]
    assert [each.about["id"] for each in seen] == [f"VikyTL_DEV_{c}" for c in ("red", "green", "blue")]
    source = gentl(camera="VikyTL_DEV_blue", rate=50.0)
    source.open()
    assert grabs(source, 1)[0].image is not None


def test_gentl_says_which_cameras_there_are(gentl: Any) -> None:
    with pytest.raises(DeviceError, match=r"no camera '9' is there: choose one of 0 \(.*\), 1 \(.*\), 2 \("):
        gentl(camera="9").open()
    with pytest.raises(DeviceError, match="3 cameras are there: say which as camera: 0"):
        gentl(camera="").open()
    with pytest.raises(DeviceError, match=r"nowhere\.cti isn't there"):
        gentl(cti="nowhere.cti").open()


def test_gentl_takes_the_producers_that_are_installed(gentl: Any, viky: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.pathsep.join(["/nowhere", str(Path(viky).parent)]))
    assert [each.options for each in gentl(cti="").cameras()] == [{"camera": str(n)} for n in range(3)]
    monkeypatch.delenv("GENICAM_GENTL64_PATH")
    with pytest.raises(DeviceError, match="no producer is installed"):
        gentl(cti="").cameras()


def test_a_file_that_is_no_producer_is_said(gentl: Any, tmp_path: Path) -> None:
    (tmp_path / "x.cti").write_bytes(b"nothing")
    with pytest.raises(DeviceError, match=r"x\.cti: .*; see that it's for this system"):
        gentl(cti=str(tmp_path / "x.cti")).open()


@pytest.mark.parametrize("name", ["Mono8", "RGBa8"])
def test_each_format_that_viky_offers_is_its_bytes(gentl: Any, name: str) -> None:
    source = gentl(pixel_format=name, width=120, height=100, rate=50.0)
    source.open()
    assert set(source._driver.features.choices("PixelFormat")) == {"Mono8", "RGBa8"}
    taken, take = [], source._driver.take

    def recorded(timeout: float) -> Raw | None:
        raw: Raw | None = take(timeout)
        if raw is not None:
            taken.append(bytes(raw.data))
        return raw

    source._driver.take = recorded
    for number, grab in enumerate(grabs(source, 3)):
        pixel_format = by_name(name)
        assert grab.image is not None and pixel_format is not None
        assert grab.image.tolist() == plain(expected(pixel_format, taken[number], 120, 100))
        assert grab.frame_id == number + 1
    assert len(np.unique(np.frombuffer(taken[0], np.uint8))) > 1


def test_of_several_parts_the_image_is_taken_and_what_has_none_is_a_problem(gentl: Any) -> None:
    more = ("ComponentSelector=Range", "ComponentEnable=true", "ComponentSelector=Intensity")
    source = gentl(features=more, rate=50.0)
    source.open()
    grab = grabs(source, 1)[0]
    assert len(source._driver._current.parts) > 1
    assert grab.image is not None and grab.image.shape == (400, 400, 3)
    source.close()
    source = gentl(features=("GenDCStreamingMode=On",), rate=50.0)
    source.open()
    grab = grabs(source, 1)[0]
    assert (
        grab.image is None and grab.frame_id == 1 and "doesn't say what the buffer holds" in str(grab.problem)
    )


def test_gentl_reads_a_number_of_the_chunk_data(gentl: Any) -> None:
    source = gentl(encoder="ChunkNrBounces", rate=50.0)
    source.open()
    assert {grab.encoder for grab in grabs(source, 2)} <= {0, 1}
    missing = gentl(encoder="ChunkNoSuch", rate=50.0)
    source.close()
    missing.open()
    grab = grabs(missing, 1)[0]
    assert grab.image is None and "ChunkNoSuch isn't in its chunk data" in str(grab.problem)


def test_what_viky_does_not_take_is_said(gentl: Any) -> None:
    for options, words in (
        ({"pixel_format": "Mono12"}, "doesn't offer the pixel format Mono12; choose one of RGBa8, Mono8"),
        ({"exposure_us": 100.0}, "no ExposureTime or ExposureTimeAbs"),
        ({"trigger": "hardware"}, "no TriggerMode"),
        ({"width": 5}, "refuses Width = 5"),
        ({"features": ("BouncingBallSize=big",)}, "refuses BouncingBallSize = big"),
    ):
        with pytest.raises(DeviceError, match=words):
            gentl(**options).open()


def test_a_buffer_that_is_incomplete_is_a_problem_and_no_number_is_made_up() -> None:
    class Lossy:
        features: Any = None

        def __init__(self) -> None:
            mono8 = 0x01080001
            self.left = [
                Raw(problem="lost"),
                Raw(b"\0" * 64, mono8, 8, 8, frame_id=65534),
                Raw(problem="lost"),
                Raw(frame_id=1, problem="lost"),
                Raw(problem="lost"),
                Raw(b"\0" * 63, mono8, 8, 8, frame_id=4),
                Raw(b"", 5, 8, 8, frame_id=5),
            ]

        def take(self, timeout: float) -> Raw | None:
            return self.left.pop(0)

        def close(self) -> None:
            pass

    from edgead_plugins.sources.camera_options import CameraOptions

    source = CameraSource(CameraOptions(), "it")
    source._driver = Lossy()  # type: ignore[assignment]
    found = grabs(source, 7)
    assert [grab.frame_id for grab in found] == [None, 65534, 65535, 65536, 65537, 65539, 65540]
    assert [grab.image is not None for grab in found] == [False, True, *[False] * 5]
    assert "has 63 bytes" in str(found[5].problem) and "isn't read" in str(found[6].problem)


@pytest.mark.parametrize(
    ("numbers", "unwrapped"),
    [
        ([65534, 65535, 1, 2], [65534, 65535, 65536, 65537]),
        ([65533, 65535, 2, 3], [65533, 65535, 65537, 65538]),
        ([65535, 0, 1, 2], [65535, 65536, 65537, 65538]),
        ([0, 1, 40000, 65530, 2], [0, 1, 40000, 65530, 65538]),
        ([65535, 65536, 65537], [65535, 65536, 65537]),
        ([500, 3], [500, 3]),  # it has begun anew: the line sees to that
        ([70000, 3], [70000, 3]),
    ],
)
def test_a_count_of_16_bits_goes_on(numbers: list[int], unwrapped: list[int]) -> None:
    ids = FrameIds()
    assert [ids.unwrapped(number) for number in numbers] == unwrapped


# ---------------------------------------------------------------- pylon


@pytest.fixture(scope="module")
def emulated() -> Iterator[None]:
    before = os.environ.get("PYLON_CAMEMU")
    os.environ["PYLON_CAMEMU"] = "2"
    pytest.importorskip("pypylon.pylon", reason="pypylon isn't installed")
    yield
    os.environ.pop("PYLON_CAMEMU")
    if before is not None:
        os.environ["PYLON_CAMEMU"] = before


@pytest.fixture
def pylon(emulated: None) -> Iterator[Callable[..., Any]]:
    from edgead_plugins.sources.pylon import PylonCamera, PylonOptions

    made: list[CameraSource] = []

    def make(**options: Any) -> CameraSource:
        own = {"camera": "0815-0000", "device_class": "BaslerCamEmu", "width": WIDTH, "height": HEIGHT}
        made.append(PylonCamera(PylonOptions(**{**own, **options})))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_pylon_sees_its_cameras_and_says_which_there_are(pylon: Any) -> None:
    seen: list[SeenCamera] = pylon().cameras()
    assert [each.options for each in seen] == [{"camera": "0815-0000"}, {"camera": "0815-0001"}]
    with pytest.raises(DeviceError, match=r"no camera '7' is there: choose one of 0815-0000 \(Basler"):
        pylon(camera="7").open()


def test_each_format_that_pylon_emulates_is_its_test_picture(pylon: Any) -> None:
    """Its first test picture is a slope: each value is column plus row, in the format's highest bits."""
    source = pylon()
    source.open()
    offered = source._driver.features.choices("PixelFormat")
    source.close()
    assert len(offered) == 24
    for name in offered:
        pixel_format = by_name(name)
        assert pixel_format is not None
        colour, up = pixel_format.colour, pixel_format.bits - 8
        source = pylon(pixel_format=name, features=("TestImageSelector=Testimage1",), rate=200.0)
        source.open()
        (grab,) = grabs(source, 1)
        source.close()
        assert grab.image is not None and grab.frame_id == 0 and grab.camera_ns is None
        slope = [[(x + y) << up for x in range(WIDTH)] for y in range(HEIGHT)]
        if colour == "mono":
            assert grab.image.tolist() == slope, name
            assert grab.depth == (pixel_format.bits if 8 < pixel_format.bits < 16 else None)
        elif colour in oracle.PATTERNS:
            bits = pixel_format.bits
            assert grab.image.tolist() == [
                [[v if bits == 8 else oracle.eight_bits(v, bits) for v in pixel] for pixel in row]
                for row in oracle.demosaiced(slope, colour)
            ], name
        else:  # its slope goes on from row to row another way then, and it's grey
            first = [oracle.eight_bits(x << up, pixel_format.bits) for x in range(WIDTH)]
            assert grab.image[0].tolist() == [[value] * 3 for value in first], name
            assert np.all(grab.image == grab.image[..., :1]) and np.all(np.diff(grab.image[..., 0]) >= 0)


def test_pylon_counts_what_is_incomplete(pylon: Any) -> None:
    source = pylon(features=("ForceFailedBufferCount=2",), rate=100.0)
    source.open()
    assert grabs(source, 2)[1].frame_id == 1
    source._driver.features.run("ForceFailedBuffer")
    found = grabs(source, 8)
    assert [grab.frame_id for grab in found] == list(range(2, 10))
    lost = [grab for grab in found if grab.image is None]
    assert len(lost) == 2 and all("incompletely grabbed" in str(grab.problem) for grab in lost)


def test_pylon_is_triggered_by_software_and_waits_for_a_wire(pylon: Any) -> None:
    source = pylon(trigger="software", rate=50.0)
    source.open()
    assert [grab.frame_id for grab in grabs(source, 3)] == [0, 1, 2]
    source.close()
    source = pylon(trigger="hardware", trigger_source="Line2")
    source.open()
    assert source.read(0.1) is None
    assert source._driver.features.get("TriggerSource") == "Line2"


def test_pylon_is_set_as_it_is_told(pylon: Any) -> None:
    source = pylon(offset_x=16, offset_y=8, exposure_us=500.0, gain=3.0, rate=40.0, trigger="free")
    source.open()
    got = source._driver.features.get
    assert [got(name) for name in ("OffsetX", "OffsetY", "Width", "Height")] == ["16", "8", "32", "12"]
    assert float(got("ExposureTime")) == pytest.approx(500, rel=0.1)
    assert float(got("Gain")) == pytest.approx(3, rel=0.1) and got("TriggerMode") == "Off"
    source.close()
    for options, words in (
        ({"exposure_us": 1e8}, "refuses ExposureTime = 100000000"),
        ({"features": ("Nope=1",)}, "no Nope"),
        ({"trigger": "hardware", "trigger_source": "Line77"}, "by Line77: it offers Software, Line1"),
    ):
        with pytest.raises(DeviceError, match=words):
            pylon(**options).open()


def test_options_that_no_camera_could_take_are_refused() -> None:
    from edgead_plugins.sources.camera_options import CameraOptions

    with pytest.raises(OptionError, match=r"Mono1p.*Mono8"):
        CameraOptions(pixel_format="Mono1p")
    with pytest.raises(OptionError, match="NAME=VALUE"):
        CameraOptions(features=("Width",))


# ---------------------------------------------------------------- on the command line


def test_the_command_line_shows_cameras(viky: str, capsys: Any) -> None:
    assert main(["line", "cameras", "gentl", "-o", f"cti={viky}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(f'camera = "{n}"' in line for n, line in enumerate(lines))
    assert main(["line", "cameras", "folder"]) == 0
    assert "can't tell which cameras" in capsys.readouterr().out
    assert main(["line", "cameras", "gentl", "-o", "cti=nowhere.cti", "--json"]) == 5
    assert '"error": "gentl: nowhere.cti isn\'t there' in capsys.readouterr().out
    assert main(["line", "cameras", "gentle"]) == 2
    assert "did you mean gentl" in capsys.readouterr().err
    assert main(["line", "cameras", "-o", "cti=x"]) == 2


# ---------------------------------------------------------------- on a line

LINE = """
[line]
deadline_ms = 5000
hung_ms = 10000

[[camera]]
name = "top"
source = "pylon"
bundle = "mean.edgead"
threads = 1
{depth}
[camera.options]
camera = "0815-0001"
device_class = "BaslerCamEmu"
width = 64
height = 48
pixel_format = "{pixel_format}"

[[sink]]
kind = "file"
role = "verdict"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")
@pytest.mark.usefixtures("emulated")
def test_check_says_where_the_cameras_bits_are_not_the_bundles(tmp_path: Path, capsys: Any) -> None:
    write_mean_bundle(tmp_path / "mean.edgead")
    file = tmp_path / "line.toml"

    def checked(pixel_format: str, depth: int | None) -> tuple[int, str]:
        text = "" if depth is None else f"depth = {depth}"
        file.write_text(LINE.format(pixel_format=pixel_format, depth=text))
        code = main(["line", "check", str(file)])
        return code, capsys.readouterr().out

    code, out = checked("Mono10", 12)
    assert code == 2 and "gives images of 10 bits, and its bundle or the line's file says 12" in out
    code, out = checked("Mono10", None)
    assert code == 0 and "their values have 10 bits" in out and "judged an image" in out
    code, out = checked("Mono16", None)
    assert code == 0 and "nobody says how many the camera fills" in out


def test_a_judge_judges_no_image_of_other_bits_than_it_learned() -> None:
    from edgead.line.judge_process import of_another_depth

    assert of_another_depth(12, 12) is of_another_depth(None, 12) is of_another_depth(12, None) is None
    assert "10 bits" in str(of_another_depth(10, 12))
