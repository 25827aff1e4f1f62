"""``onnx:PATH``: a user's own network, with named feature maps as its outputs.

Two kinds of file are understood. One takes the frame itself, (1, H, W, 3) uint8 BGR, and prepares it as it
likes. The other takes (1, 3, H, W) float32: it gets ImageNet's normalisation and RGB in front, or what the
file's own metadata asks for:

    edgead.mean = "123.675, 116.28, 103.53"     three numbers in 0..255 units
    edgead.std = "58.395, 57.12, 57.375"
    edgead.channel_order = "rgb"                or "bgr"
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgead.errors import NeedsFileError, OptionError
from edgead.types import FeatureInfo, InputSpec, Size
from edgead_plugins.backbones import graphs
from edgead_plugins.backbones.conversion import first_line
from edgead_plugins.backbones.graphs import IR_VERSION, OPSET, onnx
from edgead_plugins.backbones.preprocessing import IMAGE, check_maps, check_size, prepend_preprocessing
from edgead_plugins.backbones.weights import MAX_BYTES, check_file

_PROBE: Size = (256, 384)
"""Where the file leaves the size open, maps are described at this one: not square, so that swapped or
channels-last maps show."""


class OnnxBackbone:
    """An ONNX file as a backbone; see ``edgead.types.Backbone``.

    Args:
        path: the file; weights kept beside it are read too, from its own folder only.

    Raises:
        OptionError: the file can't be read, or isn't a network that a backbone can be made of.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"onnx:{path}"
        self._path = path
        model, digest = _read(path)
        self._takes_image, fixed = _input_kind(model, path)
        spec, prepared = _spec(model, path, self._takes_image)
        self._model = model
        info = _describe(model, path, fixed or _PROBE, self._takes_image, spec)
        self.feature_info: Mapping[str, FeatureInfo] = info
        multiple = 1 if fixed else max(its.stride for its in info.values())
        self.input = replace(spec, size=fixed, multiple=multiple)
        self.provenance = {"weights_file": path.name, "weights_sha256": digest, "preprocessing": prepared}

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return the graph from ``image`` to these maps; see ``edgead.types.Backbone.onnx``."""
        asked = check_maps(self.name, feature_maps, self.feature_info)
        check_size(self.name, size, self.input)
        return _graph(self._model, self._path, asked, size, self._takes_image, self.input)


def onnx_backbone(argument: str, weights: Path | None) -> OnnxBackbone:
    """Open ``onnx:argument``; the factory of the backbone ``onnx``."""
    if argument and weights is not None:
        raise OptionError(f"'{argument}' holds its own weights: leave --weights out")
    if not argument and weights is None:
        raise NeedsFileError(
            "backbone 'onnx' needs a file: use --backbone onnx:PATH",
            maps="the file's outputs (1, C, h, w) float32; `edgead backbones onnx:PATH` lists them",
        )
    return OnnxBackbone(weights or Path(argument).expanduser())


# ---------------------------------------------------------------- the graph


def _graph(
    model: onnx.ModelProto, path: Path, maps: Sequence[str], size: Size, takes_image: bool, spec: InputSpec
) -> onnx.ModelProto:
    """Cut the file's network at these outputs and fix its input; raises ``OptionError`` for a wrong size."""
    network = graphs.cut(model, maps)
    try:
        if not takes_image:
            return prepend_preprocessing(network, size, spec)
        tensor = graphs.network_inputs(network)[0].name
        if tensor != IMAGE:
            aside = graphs.fresh_name(network.graph, IMAGE)
            graphs.rename_tensors(network.graph, {tensor: IMAGE, IMAGE: aside})
        del network.graph.input[:], network.graph.value_info[:]
        shape = [1, *size, 3]
        network.graph.input.append(onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.UINT8, shape))
        return graphs.infer_shapes(network)
    except onnx.shape_inference.InferenceError as error:
        raise OptionError(f"'{path}' doesn't take {size[0]}x{size[1]}: {first_line(error)}") from error


def _describe(
    model: onnx.ModelProto, path: Path, size: Size, takes_image: bool, spec: InputSpec
) -> dict[str, FeatureInfo]:
    """Read channels and strides off the outputs that are feature maps, the finest first."""
    produced = {name for node in model.graph.node for name in node.output} - {IMAGE}
    outputs = [
        value.name
        for value in model.graph.output
        if value.name in produced and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    shapes = {}
    if outputs:
        shapes = graphs.output_shapes(_graph(model, path, outputs, size, takes_image, spec))
    info = {
        name: FeatureInfo(shape[1], max(1, round(size[0] / shape[2])))
        for name, shape in shapes.items()
        if _is_map(shape, size)
    }
    if not info:
        found = ", ".join(f"'{name}' {_text(shape)}" for name, shape in shapes.items()) or "no float32 output"
        raise OptionError(
            f"'{path}' has no feature map (1, C, h, w): it has {found}; make the maps outputs, "
            "channels first, and fix the input's size where theirs can't be inferred"
        )
    return dict(sorted(info.items(), key=lambda item: item[1].stride))


def _is_map(shape: tuple[int, ...], size: Size) -> bool:
    """Tell a map (1, C, h, w) of more than one position, with the image's aspect, from everything else."""
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or shape[2:] == (1, 1):
        return False
    return 0.8 < (size[0] / shape[2]) / (size[1] / shape[3]) < 1.25


# ---------------------------------------------------------------- the file


def _read(path: Path) -> tuple[onnx.ModelProto, str]:
    """Return the file as a checked model of our opset with its weights as initialisers, and its SHA-256."""
    check_file(path)
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    refused = f"'{path}' is not a usable ONNX file"
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError, which isn't part of its public names
        raise OptionError(f"{refused}: it can't be decoded; export or download it again") from error
    del content
    if not model.graph.node:
        raise OptionError(f"{refused}: it holds no network")
    foreign = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx"})
    functions = {function.domain for function in model.functions}
    if set(foreign) - functions:
        raise OptionError(
            f"{refused}: it needs operators of '{foreign[0]}'; export with plain ONNX operators"
        )
    try:
        _load_beside(model, path, digest)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        onnx.checker.check_model(model)
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        if opset != OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
    except OptionError:
        raise
    except Exception as error:  # checker, converter and inliner each have their own
        raise OptionError(f"{refused}: {first_line(error)}; export it with opset {OPSET}") from error
    model.ir_version = max(model.ir_version, IR_VERSION)
    graphs.constants_to_initializers(model.graph)
    return model, digest.hexdigest()


def _load_beside(model: onnx.ModelProto, path: Path, digest: hashlib._Hash) -> None:
    """Read weights kept in files beside the model, and let them count in the hash."""
    tensors = [
        value for value in graphs.all_tensors(model) if onnx.external_data_helper.uses_external_data(value)
    ]
    names = set()
    for tensor in tensors:
        name = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        beside = path.parent / name
        if not name or Path(name).name != name or beside.is_symlink() or not beside.is_file():
            raise OptionError(
                f"'{path}' keeps weights in '{name}', which is no plain file beside it: "
                "put it there, or save all in one file with onnx.save"
            )
        names.add(name)
    if sum((path.parent / name).stat().st_size for name in names) > MAX_BYTES:
        raise OptionError(f"the weights beside '{path}' are more than {MAX_BYTES:,} bytes")
    for name in sorted(names):
        digest.update((path.parent / name).read_bytes())
    for tensor in tensors:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT


def _input_kind(model: onnx.ModelProto, path: Path) -> tuple[bool, Size | None]:
    """Tell whether the file takes the frame itself (else the float tensor), and the size that it fixes."""
    inputs = graphs.network_inputs(model)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise OptionError(f"'{path}' must have one input, the image; it has {names}")
    kind = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    takes_image = kind.elem_type == onnx.TensorProto.UINT8
    if len(dims) == 4 and dims[0] in (0, 1):
        if takes_image and dims[3] == 3:
            height, width = dims[1:3]
        elif kind.elem_type == onnx.TensorProto.FLOAT and dims[1] == 3:
            height, width = dims[2:]
        else:
            height = width = -1
        if height > 0 and width > 0:
            return takes_image, (height, width)
        if height == width == 0:
            return takes_image, None
        if height >= 0:
            raise OptionError(f"'{path}' fixes one side of its input and not the other: fix both or none")
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    raise OptionError(
        f"'{path}' takes '{inputs[0].name}' {_text(dims)} {name}: "
        "an input (1, H, W, 3) uint8 or (1, 3, H, W) float32 is needed"
    )


def _spec(model: onnx.ModelProto, path: Path, takes_image: bool) -> tuple[InputSpec, str]:
    """Return the normalisation that the file asks for, and a sentence about it for the manifest."""
    facts = {entry.key: entry.value for entry in model.metadata_props if entry.key.startswith("edgead.")}
    if takes_image:
        return InputSpec(), "the file's own"
    spec = InputSpec()
    mean = _three(facts["edgead.mean"], path) if "edgead.mean" in facts else spec.mean
    std = _three(facts["edgead.std"], path) if "edgead.std" in facts else spec.std
    order = facts.get("edgead.channel_order", "rgb")
    if order not in ("rgb", "bgr"):
        raise OptionError(f"'{path}': metadata edgead.channel_order is '{order}', not rgb or bgr")
    if min(std) <= 0:
        raise OptionError(f"'{path}': metadata edgead.std must be above 0")
    told = "as the file's metadata asks" if facts else "ImageNet's, assumed"
    spec = InputSpec(channel_order="bgr" if order == "bgr" else "rgb", mean=mean, std=std)
    return spec, f"{told}: {order}, mean {_numbers(mean)}, std {_numbers(std)}"


def _three(text: str, path: Path) -> tuple[float, float, float]:
    try:
        r, g, b = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise OptionError(f"'{path}': metadata '{text[:60]}' should be three numbers, as 0, 0, 0") from error
    if not all(abs(value) < 1e6 for value in (r, g, b)):
        raise OptionError(f"'{path}': metadata '{text[:60]}' is out of range")
    return r, g, b


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _text(shape: Sequence[int]) -> str:
    return "(" + ", ".join(str(side) if side > 0 else "?" for side in shape) + ")"
