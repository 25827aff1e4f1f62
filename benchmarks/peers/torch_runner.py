"""PatchCore written plainly: timm's ResNet-18 in torch, searched by torch or by faiss.

    python torch_runner.py WORK WEIGHTS THREADS torch|faiss

The bank is edgead's own, ``bank.npy``. Image score: the largest distance of a patch to its nearest neighbour.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from serving import own_stdout, serve
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main(work: str, weights: str, threads: str, search: str) -> None:
    out = own_stdout()
    torch.set_num_threads(int(threads))
    network = timm.create_model("resnet18", features_only=True, out_indices=(2, 3))
    network.load_state_dict(load_file(weights), strict=False)
    network.eval()
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    bank = np.load(Path(work) / "bank.npy")
    rows = torch.from_numpy(bank)
    version = {"torch": torch.__version__}
    if search == "faiss":
        import faiss

        faiss.omp_set_num_threads(int(threads))
        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank)
        version["faiss"] = faiss.__version__

    @torch.inference_mode()
    def score(frame: np.ndarray) -> float:
        pixels = torch.from_numpy(frame[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
        fine, coarse = (functional.avg_pool2d(m, 3, 1, 1) for m in network((pixels - mean) / std))
        coarse = functional.interpolate(coarse, fine.shape[2:], mode="bilinear")
        patches = torch.cat([fine, coarse], 1)[0].flatten(1).T.contiguous()
        if search == "faiss":
            nearest = np.sqrt(np.maximum(index.search(patches.numpy(), 1)[0], 0))
        else:
            nearest = torch.cdist(patches, rows).min(1).values.numpy()
        return float(nearest.max())

    serve(Path(work), score, {**version, "model_bytes": bank.nbytes + Path(weights).stat().st_size}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
