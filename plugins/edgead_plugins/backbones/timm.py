"""``timm:NAME``: any network that timm can make feature maps of, converted to ONNX once.

torch, torchvision and timm are imported when something has to be converted; a backbone that is in the
cache already needs none of them, nor the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgead import __version__
from edgead.errors import CompileError, NeedsFileError, OptionError
from edgead.files import sha256_of
from edgead.types import FeatureInfo, InputSpec, Size
from edgead_plugins.backbones import cache
from edgead_plugins.backbones.graphs import OPSET, onnx
from edgead_plugins.backbones.preprocessing import check_maps, check_size
from edgead_plugins.backbones.weights import check_file


class TimmBackbone:
    """One of timm's networks; see ``edgead.types.Backbone``.

    Args:
        network: timm's name, with or without a tag: ``resnet18``, ``convnext_tiny.in12k``.
        weights: .safetensors or .pth in timm's key names; None for timm's own download.

    Raises:
        OptionError: the file doesn't fit the network, or timm's weights can't be had.
        UnknownNameError: timm doesn't know the network.
        MissingDependencyError: torch or timm is needed and can't be imported.
    """

    def __init__(self, network: str, weights: Path | None) -> None:
        self.name = f"timm:{network}"
        self._network, self._weights = network, weights
        self._origin = {"network": network, "weights": sha256_of(weights) if weights else "timm"}
        facts = self._facts()
        self.feature_info: Mapping[str, FeatureInfo] = {
            name: FeatureInfo(**info) for name, info in facts["feature_info"].items()
        }
        self.input = InputSpec(
            size=tuple(facts["size"]) if facts["size"] else None,
            multiple=facts["multiple"],
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
        )
        self.provenance: Mapping[str, str] = facts["provenance"]
        self._absent: Mapping[str, str] = facts["absent"]

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return the graph from ``image`` to these maps; see ``edgead.types.Backbone.onnx``.

        Raises:
            CompileError: torch can't convert the network.
        """
        for name in feature_maps:
            if name in self._absent:
                raise OptionError(
                    f"'{self._weights}' lacks weights that '{name}' of {self._network} needs, "
                    f"first '{self._absent[name]}': it has {', '.join(self.feature_info)}"
                )
        asked = check_maps(self.name, feature_maps, self.feature_info)
        check_size(self.name, size, self.input)
        key = self._key(
            kind="graph", maps=asked, size=size, opset=OPSET, sha256=self.provenance["weights_sha256"]
        )
        content = cache.load(key)
        if content is None:
            from edgead_plugins.backbones import timm_convert

            loaded = timm_convert.load_network(self._network, self._weights)
            if loaded.weights_sha256 != self.provenance["weights_sha256"]:
                raise OptionError(
                    f"timm's weights for '{self._network}' are others than when it was first used: "
                    f"give the file with --weights, or delete {cache.place()}"
                )
            content = timm_convert.to_onnx(loaded, asked, size, self.input).SerializeToString()
            cache.store(key, content)
        try:
            model: onnx.ModelProto = onnx.load_model_from_string(content)
        except Exception as error:  # whatever protobuf raises
            raise CompileError(f"the cached {self.name} can't be read: delete {cache.place()}") from error
        return model

    def _key(self, **more: Any) -> str:
        return cache.key_of({**self._origin, **more, "edgead": __version__})

    def _facts(self) -> dict[str, Any]:
        """Return what describes the network, from the cache where it's there."""
        key = self._key(kind="facts")
        content = cache.load(key)
        if content is None:
            from edgead_plugins.backbones import timm_convert

            content = json.dumps(timm_convert.describe(self._network, self._weights)).encode()
            cache.store(key, content)
        facts: dict[str, Any] = json.loads(content)
        return facts


def timm_backbone(argument: str, weights: Path | None) -> TimmBackbone:
    """Open ``timm:argument``; the factory of the backbone ``timm``."""
    if not argument:
        raise NeedsFileError(
            "backbone 'timm' needs a network: use --backbone timm:NAME, for instance timm:resnet18",
            maps="those of timm's features_only model; `edgead backbones timm:NAME` lists them",
        )
    if weights is not None:
        check_file(weights)
    return TimmBackbone(argument, weights)
