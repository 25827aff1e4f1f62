"""What fuzzing starts from, made by the project itself: ``python -m tests.fuzz.seeds`` writes ``seeds/``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

SEEDS = Path(__file__).with_name("seeds")
CRASHES = Path(__file__).with_name("crashes")


def read(folder: Path) -> list[bytes]:
    """The files of a folder, in the order of their names; none where there's no such folder."""
    return [file.read_bytes() for file in sorted(folder.iterdir())] if folder.is_dir() else []


def make() -> dict[str, dict[str, bytes]]:
    """By target, the seeds by file name."""
    golden = Path(__file__).parents[1] / "golden"
    pictures = _pictures()
    return {
        "manifest": {
            **{f"v{n}.json": (golden / f"v{n}.edgead" / "manifest.json").read_bytes() for n in (1, 2, 3)},
        },
        "revision": _revision(),
        "lesson": {"lesson.json": _lesson()},
        "held-out": {"held-out.f32": (golden / "v2.edgead" / "held-out.f32").read_bytes()},
        "model": {"model.onnx": (golden / "v2.edgead" / "model.onnx").read_bytes(), "model.xml": _IR},
        "packages": {"sbom.cdx.json": _PACKAGES},
        **_trust(),
        "image": pictures,
        "orientation": {name: data for name, data in pictures.items() if "turned" in name},
        "drift": {"drift.json": _drift()},
        "grid": {"grid.toml": _GRID},
        "results": {
            "results.jsonl": b'{"cell":{"method":"padim"},"key":"a","result":{"image_auroc":0.5}}\n' * 2
        },
        "visa": {"1cls.csv": _VISA},
        "polygons": {"polygons.json": _POLYGONS},
        "options": {"options.txt": b"coreset_ratio=0.1\nlayers=layer2,layer3\nneighbors=9"},
        "line": {"line.toml": _LINE},
        "fault-script": {
            "faults.toml": b'[[fault]]\npart = 12\nwhat = "judge-hang"\nseconds = 1.5\ncount = 2\n'
        },
        "line-status": {"line.toml.status": _STATUS},
        "words": {"cores.txt": b"0-3,7", "score.txt": b"0.03"},
    }


_LINE = b"""[line]
name = "L1"
deadline_ms = 80.5
failsafe = "reject"
hung_ms = 1_000
keys = ["qa.pub"]
[[camera]]
name = "top"
source = "folder"
options = { path = "incoming", watch = true, rate = 12.5, sizes = [[1, 2], [3]] }
bundle = "slots"
trigger = "plc"
cores = [2, 3]
product = "bolt"
[[sink]]
kind = "file"
role = "verdict"
options = { path = "verdicts.jsonl" }
[[sink]]
kind = "webhook"
name = "mes"
send_ms = 250
options = { url = "http://127.0.0.1:8000/verdicts" }
"""
_STATUS = b"""{"pid": 1, "asked": 2, "cameras": {"top": {"bundle": "00 - -", "path": "slots/00",
"to": "slots/0000000000000000000000000000000000000000000000000000000000000000", "phase": "refused",
"why": "no"}}}
"""
_GRID = b"""methods = ["patchcore", "padim"]
datasets = ["a/b", "c"]
size = "256x256"
seeds = [0, 1, 2]
holdout = 0.2
"""
_POLYGONS = b"""{"width": 40, "height": 30, "polygons": [[[1.5, 2], [38, 0], [40, 30], [0, 28.5]]],
"holes": [[[10, 10], [20, 10], [15, 20]]]}
"""
_PACKAGES = b"""{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
"components": [{"type": "library", "name": "numpy", "version": "2.4.6",
"properties": [{"name": "edgead:record-sha256", "value": "00"}]}]}
"""
_VISA = b"""object,split,label,image,mask
part,train,normal,part/Data/Images/Normal/0.JPG,
part,test,anomaly,part/Data/Images/Anomaly/0.JPG,part/Data/Masks/Anomaly/0.png
"""
_IR = b"""<?xml version="1.0"?>
<net name="a" version="11"><layers>
<layer id="0" name="image" type="Parameter" version="opset1"><data shape="1,8,8,3" element_type="u8"/>
<output><port id="0" precision="U8"><dim>1</dim><dim>8</dim><dim>8</dim><dim>3</dim></port></output></layer>
<layer id="1" name="c" type="Const" version="opset1"><data element_type="f32" shape="2" offset="0" size="8"/>
<output><port id="0" precision="FP32"><dim>2</dim></port></output></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>
"""


def _pictures() -> dict[str, bytes]:
    from tests.files import png, tiff, turned_jpeg, webp

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (9, 12), np.uint8)
    colour = rng.integers(0, 256, (9, 12, 3), np.uint8)

    def encoded(suffix: str, pixels: np.ndarray, *how: int) -> bytes:
        return bytes(cv2.imencode(suffix, pixels, list(how))[1].tobytes())

    jpeg = encoded(".jpg", colour)
    return {
        "grey.png": png(grey),
        "deep.png": png(grey.astype(np.uint16) * 17, depth=16),
        "palette.png": png(grey % 2, colour_type=3, palette=bytes(6)),
        "alpha.png": png(np.dstack([colour, grey]), colour_type=6),
        "turned.png": png(grey, orientation=6),
        "colour.jpg": jpeg,
        "turned.jpg": turned_jpeg(jpeg, 3),
        "progressive.jpg": encoded(".jpg", colour, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "colour.bmp": encoded(".bmp", colour),
        "grey.tiff": tiff(grey),
        "deep.tiff": tiff(grey.astype(np.uint16)),
        "lzw.tiff": encoded(".tiff", colour, cv2.IMWRITE_TIFF_COMPRESSION, 5),
        "deflate.tiff": encoded(".tiff", colour, cv2.IMWRITE_TIFF_COMPRESSION, 8),
        "turned.webp": webp(colour, b"Exif\\0\\0"),
        "moving.webp": webp(colour, b"", frames=2),
    }


def _revision() -> dict[str, bytes]:
    import shutil
    from dataclasses import replace

    import edgead
    from edgead.bundle import Note, add_revision

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v2.edgead"
        shutil.copytree(Path(__file__).parents[1] / "golden" / "v2.edgead", path)
        bundle = edgead.read_bundle(path)
        changed = replace(bundle.manifest.threshold, score=7.0, rule="given")
        add_revision(bundle, {"default": changed}, Note("someone", "because", {"images": 3}))
        document = json.loads((path / "revisions" / "0001.json").read_text())
    document["when"] = "2026-01-01T00:00:00Z"
    return {"revision.json": json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"}


def _trust() -> dict[str, dict[str, bytes]]:
    """Signed statements, serial numbers, slots and a public key, with one key for all time."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from edgead.manifest.strict import plain
    from edgead.slots.state import SlotRecord, State
    from edgead.trust import SignedStatement, Statement
    from edgead.trust.floors import Floor, Floors, Mark
    from edgead.trust.keys import sign

    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    when = "2026-01-01T00:00:00Z"
    said = Statement("0" * 64, "", "", 7, "L1", "someone", when, "2027-01-01T00:00:00Z", ("1,000 parts",))
    digest, signature = sign(key, said.to_bytes())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mark = Mark("L1", 7, said.digest)
    state = State({"0" * 64: SlotRecord(when, None, "trial", 1, 100, 3, mark)})
    files = {"slots": plain(state), "serials": plain(Floors({"L1": Floor(7, said.digest)}))}
    return {
        "statement": {"statement.json": SignedStatement(said, digest, signature.hex()).to_bytes()},
        "public-key": {"key.pub": public},
        **{
            name: {f"{name}.json": json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"}
            for name, value in files.items()
        },
    }


def _lesson() -> bytes:
    from edgead.bundle.taught import Lessons
    from edgead.manifest.strict import plain
    from tests.fuzz.targets import PICTURE

    told = {"kind": "false-alarm", "time": "2026-01-01T00:00:00Z", "by": "someone", "image": "a.png"}
    lesson = Lessons("0" * 64).next(**told, picture=PICTURE)
    return json.dumps(plain(lesson), sort_keys=True, indent=2).encode() + b"\n"


def _drift() -> bytes:
    from edgead.device.drift.state import to_bytes
    from edgead.device.drift.watch import Setting, Watch

    return to_bytes(Watch(), "0" * 64, Setting(10, 10))


def write() -> None:
    for target, files in make().items():
        (SEEDS / target).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (SEEDS / target / name).write_bytes(data)


if __name__ == "__main__":
    write()
