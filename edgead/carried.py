"""The images that a bundle carries: held-out good ones, of its model's size."""

from __future__ import annotations

from edgead.bundle import Bundle
from edgead.errors import CarriedImageError, ImageError
from edgead.images import decode_image
from edgead.types import Image


def carried_image(bundle: Bundle, name: str) -> Image:
    """Return one of a bundle's images, (H, W, 3) uint8 BGR.

    Args:
        name: its path in the bundle.

    Raises:
        CarriedImageError: it's no image, or of another size than the model's.
        BundleError: as ``Bundle.read``.
    """
    try:
        return decode_image(bundle.read(name), bundle.path / name, bundle.manifest.input.size)
    except ImageError as error:
        reason = str(error).removeprefix(f"{bundle.path / name}: ").partition(";")[0]
        raise CarriedImageError(f"{bundle.path}: '{name}': {reason}; export the bundle again") from None


__all__ = ["carried_image"]
