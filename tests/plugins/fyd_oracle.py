"""FYD's forward score in plain torch, written from the description: alignment, stages, density, map.

Nothing here is shared with the implementation but the trained numbers, by their names in its state. One
image at a time, float64; the network of four convolutions is ``tiny_network``'s.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def state_of(module, prefix):
    state = module.state_dict()
    return {k.removeprefix(prefix): v.double() for k, v in state.items() if k.startswith(prefix)}


def similarity(weights, features, bounds):
    """The 2 x 3 sampling matrix that a localisation network's answer stands for."""
    height, width = features.shape[2:]
    x = features * weights["gain"]
    shrink = -(-max(height, width) // 64)
    if shrink > 1:
        x = F.avg_pool2d(x, shrink)
    for name in ("localise.1", "localise.4"):
        x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        x = F.max_pool2d(x, 2, ceil_mode=True)
    flat = x.flatten(1)
    wish = F.linear(flat * 10 / flat.shape[1] ** 0.5, weights["last.weight"], weights["last.bias"])
    turn, zoom, right, down = torch.tanh(wish - weights["centre"])[0].tolist()
    rotation, scale, shift = bounds
    angle, factor = np.deg2rad(rotation * turn), (1 + scale) ** zoom
    # In pixels: rotate and enlarge about the middle, then move by a share of the side.
    pixels = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_pixels = np.diag([width / 2, height / 2])
    matrix = np.linalg.inv(to_pixels) @ pixels @ to_pixels
    return np.column_stack([matrix, [2 * shift * right, 2 * shift * down]])


def warp(maps, matrix):
    """Sample (1, C, h, w) at the transformed pixel centres, with torch's own affine grid."""
    at = F.affine_grid(torch.from_numpy(matrix)[None], list(maps.shape), align_corners=False)
    return F.grid_sample(maps, at, padding_mode="border", align_corners=False)


def square(matrix):
    return np.vstack([matrix, [0, 0, 1]])


def forward(network, image, mean, bounds):
    """The three aligned maps of one (H, W, 3) uint8 image, and the matrix from the image to the last."""
    x = torch.from_numpy(image[None].astype(np.float64) - np.array(mean)[::-1]).permute(0, 3, 1, 2)
    total = np.eye(3)
    if network.image_transformer is not None:
        matrix = similarity(state_of(network, "image_transformer."), x, bounds)
        x, total = warp(x, matrix), total @ square(matrix)
    weights = {k.removesuffix("_folded"): v.double() for k, v in network.backbone.named_parameters()}
    unit = next(iter(network.backbone._unit.values()))
    x = F.relu(F.conv2d(x, weights["w0"] / unit, weights["b0"], stride=2, padding=1))
    maps = []
    for i in (1, 2, 3):
        x = F.relu(F.conv2d(x, weights[f"w{i}"], weights[f"b{i}"], stride=2, padding=1))
        if len(network.transformers):
            matrix = similarity(state_of(network, f"transformers.{i - 1}."), x, bounds)
            x, total = warp(x, matrix), total @ square(matrix)
        maps.append(x)
    return [m[0].detach().numpy() for m in maps], total[:2]


def taken_back(scores, matrix):
    """(h, w) scores of the aligned frame in the image's own."""
    inverse = np.linalg.inv(square(matrix))[:2]
    return warp(torch.from_numpy(scores)[None, None], inverse)[0, 0].numpy()
