"""DMAD's network in torch: knowledge, the shared projection P, the mapper psi, and the loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead_plugins.dmad.options import EVEN, SLOPE, Reading
from edgead_plugins.training.pytorch import functional, nn, torch

MARGIN = 0.5
"""The hinge losses'; normal patches are to score over it, abnormal ones under its negative."""


class Bank(nn.Module):  # type: ignore[misc]
    """A bank that is searched exactly: rows (n, dim), and whose image each is from.

    The ranking is that of ``edgead_plugins.nearest``: the product of both without the bank's mean, minus half
    the row's squared norm.
    """

    def __init__(self, rows: NDArray[np.float32], image: NDArray[np.int64]) -> None:
        super().__init__()
        mean = rows.mean(0, dtype=np.float64).astype(np.float32)
        self.rows, self.image = torch.from_numpy(rows), torch.from_numpy(image)
        self.mean, centred = torch.from_numpy(mean), torch.from_numpy(rows - mean)
        self.columns = centred.T.contiguous()
        self.halves = (centred.double().square().sum(1) / 2).float()

    def moved(self, device: torch.device) -> Bank:
        """The bank on a device; it is no part of what is learnt, so torch doesn't move it by itself."""
        for name in ("rows", "image", "mean", "columns", "halves"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def search(self, query: torch.Tensor, count: int, image: torch.Tensor | None = None) -> torch.Tensor:
        """(queries, count) int64: the nearest rows, the nearest first.

        Args:
            image: (queries,) the image that each query is from: rows of the same are passed over, as a
                patch of a new image has none of its own in the bank.
        """
        rank = (query - self.mean) @ self.columns - self.halves
        if image is not None:
            rank = rank.masked_fill(image[:, None] == self.image[None], -torch.inf)
        best, found = rank.topk(count, dim=1)
        left = best.isfinite()
        last = found.gather(
            1, (left.sum(1, keepdim=True) - 1).clamp_min(0)
        )  # once more where there's no other
        return torch.where(left, found, last)  # the last one again where there is no other


def knowledge(
    bank: Bank, query: torch.Tensor, index: torch.Tensor, reading: Reading, signed: bool = False
) -> torch.Tensor:
    """What rows ``index`` (queries, k) of a bank say about patches (queries, dim); see ``knowledge.py``."""
    rows, lone = bank.rows[index], query[:, None]
    apart = lone - rows
    said = apart if signed else apart.abs()
    if reading == "nearest":
        return said[:, 0]
    if reading == "attention":
        weights = functional.softmax((lone * rows).sum(2) * query.shape[1] ** -0.5, dim=1)
    else:
        far = apart.square().sum(2).sqrt()
        lead = (far.amax(1, keepdim=True) + 1e-9) * (1 + EVEN) - far
        weights = lead / lead.sum(1, keepdim=True)
    return (weights[..., None] * said).sum(1)


class Mapper(nn.Module):  # type: ignore[misc]
    """P and psi: patches and both knowledges (n, dim) -> normality (n,); the anomaly score is its negative.

    P is one linear layer, shared by the three; psi is a hidden layer with BatchNorm and LeakyReLU, and a last
    one without bias.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, dim)
        self.hidden = nn.Linear(3 * dim, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, 1, bias=False)

    def enhance(self, query: torch.Tensor, normal: torch.Tensor, abnormal: torch.Tensor) -> torch.Tensor:
        """The enhanced representation Cat(P(q), P(k_n), P(k_a)), (n, 3 dim)."""
        return torch.cat([self.projection(x) for x in (query, normal, abnormal)], dim=1)

    def forward(self, enhanced: torch.Tensor) -> torch.Tensor:
        """psi of enhanced representations, (n,)."""
        x = functional.leaky_relu(self.norm(self.hidden(enhanced)), SLOPE)
        found: torch.Tensor = self.last(x)[:, 0]
        return found


def loss(
    normal: torch.Tensor,
    pseudo: torch.Tensor,
    observed: torch.Tensor | None,
    weights: tuple[float, float],
) -> torch.Tensor:
    """The three hinges, each the mean over its patches: of normal, pseudo-anomalous and observed ones' psi.

    Args:
        observed: None where there are no annotated defects.
        weights: lambda_1 and lambda_2.
    """
    total = functional.relu(MARGIN - normal).mean() + weights[0] * functional.relu(MARGIN + pseudo).mean()
    if observed is not None:
        total = total + weights[1] * functional.relu(MARGIN + observed).mean()
    return total


def fold(mapper: Mapper) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The trained mapper as the weights, bias and last layer of ``fitted.Head``, folded in float64."""
    state = {name: value.detach().cpu().double().numpy() for name, value in mapper.state_dict().items()}
    scale = state["norm.weight"] / np.sqrt(state["norm.running_var"] + mapper.norm.eps)
    dim = state["projection.weight"].shape[1]
    parts = state["hidden.weight"].reshape(-1, 3, dim).transpose(1, 0, 2)  # (3, hidden, dim)
    weights = [(part @ state["projection.weight"]).T * scale for part in parts]
    bias = state["hidden.bias"] + sum(part @ state["projection.bias"] for part in parts)
    bias = (bias - state["norm.running_mean"]) * scale + state["norm.bias"]
    whole = np.concatenate(weights).astype(np.float32)
    return whole, bias.astype(np.float32), state["last.weight"][0].astype(np.float32)


__all__ = ["MARGIN", "Bank", "Mapper", "fold", "knowledge", "loss"]
