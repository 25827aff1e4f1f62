"""What lessons do to a verdict, against brute force in float64, on both engines, with every image score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.image_score import MAXIMUM, PAPER, ImageScore
from edgead.resize import ResizeRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.runtime.lessons import taught, with_rows
from tests.bundles import SIZE, bad_image, good_image

RULE = ResizeRule(SIZE, "stretch")
FRAMES = [RULE.apply(image) for image in (good_image(3), bad_image(0), bad_image(4), good_image(70))]


@pytest.fixture(scope="module", params=[("onnx", "fp32"), ("openvino", "int8"), ("jetson", "int8")], ids=str)
def opened(request, compiled):
    """The bundle, a session with teaching's tensors, and what that yields for each frame."""
    bundle = read_bundle(compiled(*request.param).bundle.path)
    known = taught(bundle)
    options = EngineOptions(outputs=known.outputs)
    session = open_session(bundle.file(bundle.manifest.model), bundle.manifest.engine, options)
    return bundle, session, [dict(session(frame[None])) for frame in FRAMES]


def rows_of(outputs, known, count):
    """Some of a frame's own most unusual patches, moved a little so that no distance is 0."""
    order = np.argsort(-outputs[known.record.patch].reshape(-1))[:count]
    return outputs[known.record.embedding][order] * np.float32(1.01)


def brute_force(outputs, known, rows, level, image_score):
    """Score and map with the rows in the bank, position by position in float64."""
    patch = outputs[known.record.patch].astype(np.float64).reshape(-1)
    embedding = outputs[known.record.embedding].astype(np.float64)
    lowered = patch.copy()
    for i, own in enumerate(patch):
        if own > level:
            lowered[i] = min(own, *(np.linalg.norm(embedding[i] - row) for row in rows.astype(np.float64)))
    grid, (height, width) = known.record.grid, outputs["anomaly_map"].shape[2:]
    found = np.zeros((height, width))
    for i, (y, x) in enumerate(np.ndindex(*grid)):
        found += lowered[i] * np.outer(known.vertical[:, y], known.horizontal[:, x]).astype(np.float64)
    own = float(outputs["score"][0])
    if image_score.rule == "maximum":
        score = found.max()
    elif image_score.rule == "top-share":
        count = max(1, round(lowered.size * image_score.share))
        score = np.sort(lowered)[-count:].mean()
    else:
        score = own if lowered[patch.argmax()] == patch.max() else lowered.max()
    return min(score, own), found


@pytest.mark.parametrize("image_score", [PAPER, MAXIMUM, ImageScore("top-share", 0.05)], ids=str)
def test_false_alarms_rows_are_as_if_they_were_in_the_bank(opened, image_score):
    bundle, _, all_outputs = opened
    plain = replace(taught(bundle), image_score=image_score)
    rows = np.concatenate([rows_of(all_outputs[1], plain, 6), rows_of(all_outputs[0], plain, 2)])
    level = float(np.quantile(all_outputs[0][plain.record.patch], 0.9))
    known = with_rows(plain, 1, rows, np.empty(0, np.float32), level)
    lowered = 0
    for outputs in all_outputs:
        # The graph's own score of the same rule: what a bundle that was fitted so would yield.
        _, graph_map = brute_force(outputs, plain, np.full_like(rows, 1e6), np.inf, image_score)
        top = brute_force({**outputs, "score": [np.inf]}, plain, np.full_like(rows, 1e6), np.inf, image_score)
        own = outputs if image_score is PAPER else {**outputs, "score": np.array([top[0]], np.float32)}
        assert np.allclose(graph_map, outputs["anomaly_map"][0, 0], rtol=1e-3, atol=1e-3)
        judged = known.apply(own)
        score, anomaly_map = brute_force(own, plain, rows, level, image_score)
        assert judged.score == pytest.approx(score, rel=2e-3, abs=1e-3)
        assert np.allclose(judged.anomaly_map, anomaly_map, rtol=2e-3, atol=2e-3)
        assert judged.score <= float(own["score"][0]) and judged.lesson is None
        lowered += judged.score < float(own["score"][0])
    assert lowered


def test_a_frame_without_a_lowered_position_keeps_the_graphs_bits(opened):
    bundle, _, all_outputs = opened
    plain = taught(bundle)
    far = np.full((2, plain.record.dim), 1e6)
    for rows, level in ((rows_of(all_outputs[1], plain, 4), np.inf), (far, 0.0)):
        known = with_rows(plain, 1, rows.astype(np.float32), np.empty(0, np.float32), level)
        for outputs in all_outputs:
            judged = known.apply(outputs)
            assert judged.score == float(outputs["score"][0])
            assert judged.anomaly_map.tobytes() == outputs["anomaly_map"][0, 0].tobytes()


def test_further_outputs_change_no_bit_of_the_graphs_own(opened):
    bundle, session, all_outputs = opened
    plain = open_session(bundle.file(bundle.manifest.model), bundle.manifest.engine)
    assert list(session(FRAMES[0][None]))[:2] == list(plain(FRAMES[0][None]))
    for frame, outputs in zip(FRAMES, all_outputs, strict=True):
        for name, value in plain(frame[None]).items():
            assert value.tobytes() == outputs[name].tobytes()


def test_a_defects_rows_are_a_bank_of_their_own(opened):
    bundle, _, all_outputs = opened
    plain = taught(bundle)
    rows = rows_of(all_outputs[1], plain, 3)
    patch = all_outputs[1][plain.record.patch].reshape(-1)
    radii = np.array([0.2, 0.3, 0.4], np.float32) * patch.max()
    level = 0.5 * float(patch.max())
    known = with_rows(plain, 7, rows, radii, level)
    found = []
    for outputs in all_outputs:
        embedding = outputs[plain.record.embedding].astype(np.float64)
        seen = np.zeros(plain.record.grid, bool)
        for i, place in enumerate(np.ndindex(*plain.record.grid)):
            if outputs[plain.record.patch].reshape(-1)[i] >= level:
                apart = [np.linalg.norm(embedding[i] - row) for row in rows.astype(np.float64)]
                seen[place] = any(a <= r for a, r in zip(apart, radii, strict=True))
        judged = known.apply(outputs)
        assert judged.lesson == (7 if seen.any() else None)
        assert (judged.score, judged.anomaly_map.tobytes()) == (
            float(outputs["score"][0]),
            outputs["anomaly_map"][0, 0].tobytes(),
        )
        if judged.seen is not None:
            h, w = plain.record.grid
            assert (judged.seen[:: SIZE[0] // h, :: SIZE[1] // w][:h, :w] == seen).all()
        found.append(bool(seen.any()))
    assert found[1] and not found[0]
