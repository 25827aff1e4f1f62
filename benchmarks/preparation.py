"""Resizing and colour by OpenCV before the graph, and by OpenVINO inside it: processor time, in turns.

    python benchmarks/preparation.py [--size 256x256] [--rounds 9]

The graph behind is next to nothing (a mean), so that what differs is the preparation. Two ways of resizing in
the graph: linear, which reads four pixels for each of its own and leaves the others out, so that a scratch
between them is gone; and antialiased, which reads all as OpenCV's INTER_AREA does, with other weights.
Neither gives the bits that bundles were fitted on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from rows import Row, markdown, of_turns

from edgead.processor import cpu
from edgead.resize import ResizeRule
from edgead.runtime.openvino_session import import_openvino

FRAMES = ((480, 640), (1024, 1280), (2048, 2448))


def main() -> None:
    arguments = _arguments()
    size = tuple(int(side) for side in arguments.size.split("x"))
    rule, rng, rows = ResizeRule(size), np.random.default_rng(0), []
    plain = _graph(size)
    for shape in FRAMES:
        frame = rng.integers(0, 256, (*shape, 3), np.uint8)
        linear, antialiased = (_graph(size, shape, how) for how in ("LINEAR", "BILINEAR_PILLOW"))
        ways = {
            "OpenCV": lambda frame=frame: plain(rule.apply(frame)),
            "in the graph, linear": lambda frame=frame, run=linear: run(frame),
            "in the graph, antialiased": lambda frame=frame, run=antialiased: run(frame),
        }
        rows += _rows(f"resize {shape[0]} x {shape[1]}", ways, arguments.rounds)
    frame, swapped = rng.integers(0, 256, (*size, 3), np.uint8), _graph(size, swaps=True)
    ways = {
        "OpenCV": lambda: plain(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)),
        "in the graph": lambda: swapped(frame),
    }
    rows += _rows("RGB to BGR", ways, 10 * arguments.rounds)
    print(f"{cpu().model}, {cpu().kind}, {cpu().threads} threads\n")
    print("\n".join(markdown(rows)))


def _graph(
    size: tuple[int, ...], shape: tuple[int, int] | None = None, how: str = "", swaps: bool = False
) -> Callable[[Any], Any]:
    """A graph that takes a frame's mean, and what runs it."""
    ov = import_openvino()
    from openvino import opset13 as op
    from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm

    image = op.parameter([1, *size, 3], np.uint8)
    mean = op.reduce_mean(op.convert(image, "f32"), op.constant(np.array([1, 2, 3])), False)
    made = PrePostProcessor(ov.Model([mean], [image], "mean"))
    tensor, steps = made.input().tensor(), made.input().preprocess()
    tensor.set_layout(ov.Layout("NHWC"))
    made.input().model().set_layout(ov.Layout("NHWC"))
    if shape is not None:
        tensor.set_spatial_static_shape(*shape)
        steps.resize(getattr(ResizeAlgorithm, f"RESIZE_{how}"))
    if swaps:
        tensor.set_color_format(ColorFormat.RGB)
        steps.convert_color(ColorFormat.BGR)
    request = ov.Core().compile_model(made.build(), "CPU").create_infer_request()
    return lambda frame: request.infer({0: frame[None]}, share_inputs=True)


def _rows(name: str, ways: dict[str, Callable[[], Any]], rounds: int) -> list[Row]:
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            began = time.process_time()
            run()
            if number:  # the first isn't counted
                took[way].append(time.process_time() - began)
    return [_row(f"{name}: {way}", took[way], took["OpenCV"]) for way in ways]


def _row(name: str, mine: Sequence[float], opencv: Sequence[float]) -> Row:
    shown = {"processor ms, least": f"{1e3 * min(mine):.2f}"}
    return Row("preparation", name, "processor time over OpenCV's", *of_turns(mine, opencv), shown=shown)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="256x256", metavar="HxW")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    main()
