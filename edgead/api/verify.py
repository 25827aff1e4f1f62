"""``edgead.verify``: is a bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

from edgead.api.arguments import AnyBundle, AnyPath, optional, path_of
from edgead.api.notes import tell
from edgead.api.records import Verified
from edgead.bundle import read_bundle
from edgead.errors import OptionError
from edgead.extras import explained
from edgead.trust import AnyTrust, Trust


@explained("verifying")
def verify(
    bundle: AnyBundle,
    *,
    on_device: bool = False,
    images: AnyPath | None = None,
    engine: str | None = None,
    try_in_child: bool = False,
    trust: AnyTrust | None = None,
) -> Verified:
    """Check a bundle's files against its manifest, and what this device makes of it; as ``edgead verify``.

    Its models are looked at as far as no engine is needed: that they're whole and of their kind, name no data
    elsewhere and no sizes that no model has.

    Args:
        bundle: its path, ``NAME`` for ``./NAME.edgead``, or what a call returned; the files are read again.
        on_device: run the parity check here too: this device's engine against exact arithmetic. Without it
            nothing of the bundle is run in this process.
        images: a folder of good images for ``on_device``, besides those in the bundle.
        engine: another engine than the bundle's own for ``on_device`` and ``try_in_child``.
        try_in_child: first load it and judge a black frame in a process of its own, within limits of time
            and memory: a model can loop for ever, ask for all memory or break the engine. Python's
            ``sys.executable`` must be an interpreter.
        trust: demand a signature: by one of these public keys (files, or folders of them), or as an
            ``edgead.Trust`` says; what the environment variable ``EDGEAD_TRUST`` demands if not given.

    Returns:
        What was found, all of it in order. Files that no hash covers are logged at WARNING.

    Raises:
        edgead.errors.BundleError: the subclass says which check failed; ``TrialError`` is the child's,
            ``ModelFormatError`` for a model that is none, and ``TrustError`` for want of a signature.
        edgead.errors.ParityError: this device gives other numbers, or another verdict.
        edgead.errors.InputError: there are no images to check with, or these can't be used.
        edgead.errors.EngineError: the engine isn't there, or fails.
    """
    if images is not None and not on_device:
        raise OptionError("images are for on_device=True: add it, or leave both out")
    if engine is not None and not on_device and not try_in_child:
        raise OptionError(
            f"engine {engine!r} is for on_device=True or try_in_child=True: add one, or leave it out"
        )
    demanded = None if trust is None else Trust.of(trust)
    found = read_bundle(path_of(bundle), trust=demanded, models=True)
    if found.unchecked:
        tell(found.notices[-1:])
    trial = None
    if try_in_child:
        from edgead.device.trial import try_bundle

        trial = try_bundle(found, engine)
    if not on_device:
        return Verified(found, None, (), trial, found.signed)
    from edgead.device.verify import check_on_device, require

    runs_on, parities = check_on_device(found, optional(images), engine)
    require(found, runs_on, parities)
    return Verified(found, runs_on, tuple(parities), trial, found.signed)


__all__ = ["verify"]
