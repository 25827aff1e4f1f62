"""Every method's graphs for a Jetson, in every form: listed operators, ONNX's checker, the same numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from edgead.plugins import registry
from edgead.progress import silent
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.testing.material import defective_image, good_image, write_images
from edgead.types import PRECISIONS
from edgead.workbench.features import training_data
from edgead.workbench.forms import backbone_forms, fit_forms, trained
from edgead.workbench.good_images import read_known
from edgead.workbench.recipe import resolve
from edgead_exporters.jetson import JetsonExporter
from edgead_exporters.tensorrt_operators import check_for_tensorrt
from tests.quick import TRAINING

SIZE = (64, 64)
APART = {"score": 0.1, "anomaly_map": 0.2}
"""How far a form may be from the same form on x86, whose steps are half as wide; hardly trained ones magnify
it. A broken graph is further off; export's gates tell good from better."""
WIDER = {"cutpaste": 0.3}
"""Its density is of 768 dimensions here, told by ten images: what rounding changes weighs more."""
OPTIONS = {"spade": ("neighbors=10",)}
"""All good images: which are the nearest few, rounding decides for an image that is like none of them."""
METHODS = [
    pytest.param(name, marks=[pytest.mark.torch] if name in TRAINING else [])
    for name in registry().names("methods")
]


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """``forms(method)``: its graphs by form, hardly trained on ten drawn images."""

    @cache
    def fit(method):
        if method in TRAINING:
            pytest.importorskip("torch", reason="needs the [train] extra")
        folder = tmp_path_factory.mktemp(method)
        images = write_images(folder / "good", [good_image(i, SIZE) for i in range(10)])
        frames, _ = read_known(images, SIZE, 1, silent)
        recipe = resolve(method, options=TRAINING.get(method, OPTIONS.get(method, ())))
        data = training_data(recipe.backbone, frames, 0, silent, folder / "checkpoint")
        recipe = trained(recipe, data)
        backbones, lacking = backbone_forms(recipe, data, PRECISIONS)
        assert not lacking
        graphs = {}
        fit_forms(recipe, backbones, data, graphs.__setitem__)
        return graphs

    return fit


def outputs(file, device, images):
    session = open_session(file, "onnxruntime", EngineOptions(device, threads=1))
    return [session(image[None]) for image in images]


@pytest.mark.parametrize("precision", JetsonExporter.precisions)
@pytest.mark.parametrize("method", METHODS)
def test_a_methods_graph_is_tensorrts_and_computes_the_same(method, precision, forms, tmp_path):
    graph = forms(method)[precision]
    artifact = JetsonExporter().compile(graph, precision, tmp_path)
    onnx.checker.check_model(str(tmp_path / artifact.model), full_check=True)
    compiled = onnx.load(tmp_path / artifact.model)
    check_for_tensorrt(onnx.shape_inference.infer_shapes(compiled, strict_mode=True, data_prop=True))
    quantisers = sum(node.op_type == "QuantizeLinear" for node in compiled.graph.node)
    assert bool(quantisers) == (precision in ("int8", "mixed")) or precision == "bf16"
    onnx.save(graph, tmp_path / "plain.onnx")
    images = [good_image(50, SIZE), defective_image(3, SIZE), np.zeros((*SIZE, 3), np.uint8)]
    ours = outputs(tmp_path / artifact.model, "CPU", images)
    theirs = outputs(tmp_path / "plain.onnx", "auto", images)
    for one, other in zip(ours, theirs, strict=True):
        for name, usual in APART.items():
            allowed = WIDER.get(method, usual)
            apart = np.abs(one[name].astype(np.float64) - other[name]).max() / np.abs(other[name]).max()
            assert apart <= (1e-3 if precision == "fp32" else allowed), f"{name} is {apart:.2%} off"
