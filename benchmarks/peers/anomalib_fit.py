"""Fit anomalib's PatchCore and export it to OpenVINO, each part timed.

    python anomalib_fit.py WORK WEIGHTS RATIO THREADS LONGEST

Features, its own coreset loop and its own export. Where the coreset takes more than LONGEST picks, so many
are timed, the rest reckoned in proportion (each pick costs the same), and the bank is a random choice of the
right size: latency doesn't depend on which rows they are; accuracy does, and then isn't asked for.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from serving import own_stdout


def main(work: str, weights: str, ratio: str, threads: str, longest: str) -> None:
    out = own_stdout()
    torch.set_num_threads(int(threads))
    import anomalib
    from anomalib.models import Patchcore
    from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy
    from safetensors.torch import load_file

    frames = np.load(Path(work) / "train.npy")
    size = frames.shape[1:3]
    model = Patchcore(
        backbone="resnet18",
        layers=["layer2", "layer3"],
        pre_trained=False,
        coreset_sampling_ratio=float(ratio),
        pre_processor=Patchcore.configure_pre_processor(size),
    )
    extractor = model.model.feature_extractor
    target = getattr(extractor, "feature_extractor", extractor)
    missing = target.load_state_dict(load_file(weights), strict=False).missing_keys
    unset = [key for key in missing if "num_batches" not in key]
    if unset:
        raise SystemExit(f"weights lack {unset[:3]}")

    start = time.perf_counter()
    model.train()
    model.model.feature_extractor.eval()
    parts = []
    with torch.no_grad():
        for at in range(0, len(frames), 16):
            rgb = [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in frames[at : at + 16]]
            batch = torch.from_numpy(np.stack(rgb)).permute(0, 3, 1, 2).float() / 255
            parts.append(model.model(model.pre_processor.transform(batch)))
    embedding = torch.vstack(parts)
    features_seconds = time.perf_counter() - start

    sampler = KCenterGreedy(embedding=embedding, sampling_ratio=float(ratio))
    wanted = sampler.coreset_size
    timed = sampler.coreset_size = min(wanted, int(longest))
    start = time.perf_counter()
    picks = sampler.select_coreset_idxs()
    coreset_seconds = (time.perf_counter() - start) * wanted / timed
    if timed < wanted:
        picks = torch.randperm(len(embedding))[:wanted].tolist()
    model.model.memory_bank = embedding[picks]

    start = time.perf_counter()
    model.eval()
    model.to_openvino(Path(work) / "anomalib", input_size=size)
    export_seconds = time.perf_counter() - start
    (exported,) = (Path(work) / "anomalib").rglob("*.xml")
    facts = {
        "anomalib": anomalib.__version__,
        "model": str(exported),
        "bank": list(model.model.memory_bank.shape),
        "features_s": features_seconds,
        "coreset_s": coreset_seconds,
        "export_s": export_seconds,
        "picks_timed": timed,
        "own_bank": timed == wanted,
    }
    print(json.dumps(facts), file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
