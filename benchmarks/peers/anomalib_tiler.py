"""anomalib's PatchCore with its tiler, on frames larger than a tile, in torch: no export has its tiler.

    python anomalib_tiler.py WORK WEIGHTS THREADS TILE STRIDE

The bank is edgead's own, ``bank.npy``: both search the same rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from serving import own_stdout, serve


def main(work: str, weights: str, threads: str, tile: str, stride: str) -> None:
    out = own_stdout()
    torch.set_num_threads(int(threads))
    import anomalib
    from anomalib.data.utils.tiler import Tiler
    from anomalib.models import Patchcore
    from safetensors.torch import load_file

    frames = np.load(Path(work) / "train.npy", mmap_mode="r")
    model = Patchcore(
        backbone="resnet18",
        layers=["layer2", "layer3"],
        pre_trained=False,
        pre_processor=Patchcore.configure_pre_processor(frames.shape[1:3]),
    )
    extractor = model.model.feature_extractor
    target = getattr(extractor, "feature_extractor", extractor)
    target.load_state_dict(load_file(weights), strict=False)
    bank = torch.from_numpy(np.load(Path(work) / "bank.npy"))
    model.model.memory_bank = bank
    model.model.tiler = Tiler(int(tile), int(stride))
    model.eval()

    @torch.inference_mode()
    def score(frame: np.ndarray) -> float:
        pixels = torch.from_numpy(frame[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
        return float(model.model(model.pre_processor.transform(pixels)).pred_score)

    facts = {"anomalib": anomalib.__version__, "torch": torch.__version__, "model_bytes": bank.nbytes}
    serve(Path(work), score, facts, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
