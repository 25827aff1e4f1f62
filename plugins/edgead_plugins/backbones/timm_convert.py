"""From timm's PyTorch modules to ONNX: the only place in the project's backbones that imports torch.

A user's file may hold only a part of the network. What it lacks is filled with NaN, and the feature maps
that stay finite on a probe are the ones that it really feeds: no list of layers per network is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import CompileError, MissingDependencyError, OptionError, UnknownNameError, one_line
from edgead.extras import install
from edgead.files import sha256_of
from edgead.types import InputSpec, Size
from edgead_plugins.backbones import conversion
from edgead_plugins.backbones.graphs import IR_VERSION, OPSET, cut, onnx
from edgead_plugins.backbones.preprocessing import prepend_preprocessing
from edgead_plugins.backbones.weights import read_state_dict


@dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Attributes:
        module: yields a list of feature maps for (N, 3, H, W) float32.
        names: the maps' names, in the module's order.
        channels_last: which of the maps come as (N, h, w, C).
        absent: for each map that the weights don't feed, the first key that's missing.
        weights_sha256: of the user's file; of the values where timm fetched them.
    """

    network: str
    module: Any
    names: tuple[str, ...]
    channels_last: tuple[bool, ...]
    absent: Mapping[str, str]
    weights_sha256: str


def describe(network: str, weights: Path | None) -> dict[str, Any]:
    """Return the JSON facts that ``TimmBackbone`` is made of."""
    torch, timm = _import_torch()
    loaded = load_network(network, weights)
    config = timm.data.resolve_model_data_config(loaded.module)
    if len(config["mean"]) != 3 or config["input_size"][0] != 3:
        raise OptionError(
            f"timm's '{network}' takes {config['input_size'][0]} channels: choose one for colour"
        )
    info = {
        name: {"channels": int(channels), "stride": int(stride)}
        for name, channels, stride in zip(
            loaded.names,
            loaded.module.feature_info.channels(),
            loaded.module.feature_info.reduction(),
            strict=True,
        )
        if name not in loaded.absent
    }
    fixed = bool((getattr(loaded.module, "pretrained_cfg", None) or {}).get("fixed_input_size"))
    provenance = {
        "network": f"timm {network}",
        "weights_file": weights.name if weights else "timm's download",
        "weights_sha256": loaded.weights_sha256,
        "timm_version": timm.__version__,
        "torch_version": torch.__version__,
    }
    return {
        "feature_info": info,
        "absent": dict(loaded.absent),
        "size": list(config["input_size"][1:]) if fixed else None,
        "multiple": 1 if fixed else max(its["stride"] for its in info.values()),
        "mean": [round(255 * value, 6) for value in config["mean"]],
        "std": [round(255 * value, 6) for value in config["std"]],
        "provenance": provenance,
    }


def load_network(network: str, weights: Path | None) -> Loaded:
    """Make timm's network with the user's weights, or with timm's own.

    Raises:
        OptionError: the network has no feature maps, or the weights don't fit or can't be had.
        UnknownNameError: timm doesn't know the network.
    """
    torch, timm = _import_torch()
    if not timm.is_model(network):
        raise UnknownNameError("network in timm", network, timm.list_models())
    with conversion.quiet():
        try:
            whole = timm.create_model(network, pretrained=False)
        except RuntimeError as error:  # for instance a tag that it doesn't know
            raise OptionError(f"timm can't make '{network}': {one_line(error, 'first')}") from error
        info = getattr(whole, "feature_info", None)
        info = getattr(info, "info", info) or ()
        options: dict[str, Any] = {"features_only": True, "out_indices": tuple(range(len(info)))}
        missing: list[str] = []
        if weights is not None:
            state, missing = _complete(torch, whole, network, weights)
            options["pretrained_cfg_overlay"] = {"state_dict": state}
        del whole
        try:
            module = timm.create_model(network, pretrained=True, **options).eval()
        except Exception as error:  # what a hub, a mirror and a proxy may raise has no common root
            options.pop("pretrained_cfg_overlay", None)
            try:
                timm.create_model(network, pretrained=False, **options)
            except (RuntimeError, AssertionError, TypeError, AttributeError) as reason:
                raise OptionError(
                    f"timm's '{network}' yields no feature maps: {one_line(reason, 'first')}"
                ) from reason
            if weights is not None:
                raise OptionError(
                    f"'{weights}' can't be used in timm's '{network}': {one_line(error, 'first')}"
                ) from error
            raise OptionError(
                f"can't get timm's weights for '{network}' ({type(error).__name__}: "
                f"{one_line(error, 'first')}): download them where the hub can be reached and give "
                "--weights FILE"
            ) from error
    digest = sha256_of(weights) if weights else conversion.weights_sha256(module)
    return _probe(torch, network, module, missing, digest)


def to_onnx(loaded: Loaded, maps: Sequence[str], size: Size, spec: InputSpec) -> onnx.ModelProto:
    """Convert to a backbone graph, and compare it with torch on a random image.

    Raises:
        CompileError: torch can't convert the network, or the graph computes something else.
    """
    torch, _ = _import_torch()
    chosen = [loaded.names.index(name) for name in maps]

    class Maps(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = loaded.module

        def forward(self, x: Any) -> tuple[Any, ...]:
            found = list(self.network(x))
            return tuple(
                found[i].permute(0, 3, 1, 2) if loaded.channels_last[i] else found[i] for i in chosen
            )

    module = Maps().eval()
    try:
        with conversion.quiet(), torch.no_grad():
            program = torch.onnx.export(
                module, (torch.zeros(1, 3, *size),), dynamo=True, opset_version=OPSET, verbose=False
            )
            exported: onnx.ModelProto = program.model_proto
            outputs = {name: value.name for name, value in zip(maps, exported.graph.output, strict=True)}
            exported.ir_version = IR_VERSION
            model = prepend_preprocessing(cut(exported, outputs), size, spec)
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the exporter's errors have no common root
        raise CompileError(
            f"torch can't convert timm's '{loaded.network}' to ONNX: {one_line(error, 'first')}"
        ) from error
    with torch.no_grad():
        found = module(conversion.normalised(torch.from_numpy(conversion.probe_image(size)), spec))
    wanted = {name: value.numpy() for name, value in zip(maps, found, strict=True)}
    conversion.check_same(model, wanted, size, f"timm's '{loaded.network}'")
    return model


# ---------------------------------------------------------------- inside


def _import_torch() -> tuple[Any, Any]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when timm imports the hub's client
    try:
        import onnxscript  # noqa: F401 - torch.onnx.export needs it and says so late
        import timm
        import torch
    except (ImportError, OSError, RuntimeError) as error:  # a torchvision of another build is a RuntimeError
        raise MissingDependencyError(
            "timm backbones need torch, torchvision and timm from one package index together: "
            f"{install('train')} ({one_line(error, 'first')})"
        ) from error
    return torch, timm


def _complete(torch: Any, whole: Any, network: str, weights: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the file's tensors with NaN for what it lacks, and the keys that it lacks."""
    held = read_state_dict(torch, weights)
    wanted = whole.state_dict()
    heads = (whole.pretrained_cfg or {}).get("classifier") or ()
    heads = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    held = {key: value for key, value in held.items() if not (heads and key.startswith(heads))}
    unknown = [key for key in held if key not in wanted]
    wrong = [key for key in held if key in wanted and held[key].shape != wanted[key].shape]
    missing = [
        key
        for key, value in wanted.items()
        if key not in held and value.is_floating_point() and not (heads and key.startswith(heads))
    ]
    if unknown:
        raise OptionError(
            f"'{weights}' doesn't fit timm's {network}: {len(unknown)} tensors have no place in it, "
            f"first '{unknown[0]}'; name the network that the file was made for"
        )
    if wrong:
        key = wrong[0]
        is_, needed = ("x".join(map(str, x[key].shape)) for x in (held, wanted))
        raise OptionError(f"'{weights}' doesn't fit timm's {network}: '{key}' is {is_}, {needed} is needed")
    state = {
        key: held[key] if key in held else torch.full_like(value, float("nan")) if key in missing else value
        for key, value in wanted.items()
    }
    return state, missing


def _probe(torch: Any, network: str, module: Any, missing: Sequence[str], digest: str) -> Loaded:
    """Run the network once to see each map's layout, and which maps the weights feed."""
    config = getattr(module, "pretrained_cfg", None) or {}
    size = tuple(config.get("input_size") or (3, 224, 224))[1:]
    with conversion.quiet(), torch.no_grad():
        found = list(module(torch.zeros(1, 3, *size)))
    names = tuple(module.feature_info.module_name())
    channels = module.feature_info.channels()
    last, absent = [], {}
    for name, count, value in zip(names, channels, found, strict=True):
        shape = tuple(value.shape)
        if len(shape) != 4 or count not in (shape[1], shape[3]):
            raise OptionError(
                f"timm's '{network}' yields '{name}' as {shape}, which is no map of {count} channels"
            )
        last.append(shape[1] != count)
        if not torch.isfinite(value).all():
            absent[name] = missing[0] if missing else "a value that isn't finite"
    if len(absent) == len(names):
        raise OptionError(
            f"the weights feed no feature map of timm's '{network}', first missing '{absent[names[0]]}'"
        )
    return Loaded(network, module, names, tuple(last), absent, digest)
