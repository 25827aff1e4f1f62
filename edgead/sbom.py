"""The bill of materials (SBOM) of a bundle's making: which packages made it, as CycloneDX JSON.

Fit and export each write one into their bundle: edgead, everything that it needs in turn, and the plugins
that were used, as they're installed. The same environment gives the same bytes, so there's no time and no
serial number in it. The few fields are written by hand over ``importlib.metadata``: the format's own library
would bring five packages to every workbench, and stamps both by itself.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from edgead.errors import SbomError
from edgead.version import __version__

FILE = "sbom.cdx.json"
"""What made the bundle."""
FITTED_FILE = "sbom-fit.cdx.json"
"""In a compiled bundle, what made the one that was exported."""
SPEC = "1.6"
RECORD = "edgead:record-sha256"
"""SHA-256 over the package's installed files, sorted lines ``PATH SHA256`` as in its RECORD."""
EXTRAS = ("openvino", "onnx", "fit", "train")
MAX_BYTES = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


@dataclass(frozen=True)
class Package:
    """One package that took part.

    Attributes:
        name, version: as installed.
        record: SHA-256 over its files, lower-case hex; empty where its RECORD isn't there.
    """

    name: str
    version: str
    record: str = ""


def sbom(plugins: Iterable[str] = ()) -> bytes:
    """The document for what is installed here.

    Args:
        plugins: distributions of the plugins that were used.
    """
    components = [_component(package) for package in installed(plugins)]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "edgead", "version": __version__}},
        "components": components,
    }
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"


def installed(plugins: Iterable[str] = ()) -> tuple[Package, ...]:
    """What edgead and these need, in turn, and is installed, by name."""
    found: dict[str, Package] = {}
    waiting = ["edgead", *sorted(plugins)]
    while waiting:
        name = waiting.pop()
        if _key(name) in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # an extra that isn't installed, or edgead's sources
            continue
        found[_key(name)] = Package(
            distribution.metadata["Name"], distribution.version, _record(distribution)
        )
        extras = EXTRAS if _key(name) == "edgead" else ()
        for requirement in distribution.requires or ():
            needed, wanted = _NAME.match(requirement), _EXTRA.search(requirement)
            if needed and (wanted is None or wanted[1] in extras):
                waiting.append(needed[0])
    return tuple(found[key] for key in sorted(found))


def read_sbom(content: bytes, where: str) -> tuple[Package, ...]:
    """The packages that a document of these names, for people: nothing relies on them.

    Args:
        where: bundle and file, for the message.

    Raises:
        SbomError: it isn't such a document.
    """
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"{len(content)} bytes are over the limit of {MAX_BYTES}")
        document = json.loads(content)
        if document["bomFormat"] != "CycloneDX":
            raise ValueError("its format isn't CycloneDX")
        return tuple(_package(component) for component in document["components"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())[:100]
        raise SbomError(
            f"{where}: not the list of packages that edgead writes ({why}); export it again"
        ) from None


def _component(package: Package) -> dict[str, Any]:
    name = package.name.lower().replace("_", "-")
    purl = f"pkg:pypi/{name}@{quote(package.version, safe='')}"  # 2.6.0+cpu: a plus stands for a space
    made = {
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "bom-ref": purl,
    }
    properties = [{"name": RECORD, "value": package.record}] if package.record else []
    return {**made, "properties": properties} if properties else made


def _package(component: Mapping[str, Any]) -> Package:
    name, version = component["name"], component["version"]
    records = [each["value"] for each in component.get("properties", []) if each["name"] == RECORD]
    record = records[0] if records else ""
    if not all(isinstance(text, str) and len(text) <= 200 for text in (name, version, record)):
        raise ValueError("a name, version or hash that is none")
    return Package(name, version, record)


def _record(distribution: importlib.metadata.Distribution) -> str:
    """Over what is the same wherever the wheel is installed: no scripts, whose first line names a Python."""
    lines = []
    for file in distribution.files or ():
        path = file.as_posix()
        if file.hash is None or file.hash.mode != "sha256" or path.startswith("..") or path.endswith(".pyc"):
            continue
        if ".dist-info/" in path and not path.endswith("/METADATA"):  # the installer's own notes
            continue
        value = file.hash.value
        digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        lines.append(f"{path} {digest.hex()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() if lines else ""


def _key(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


__all__ = [
    "EXTRAS",
    "FILE",
    "FITTED_FILE",
    "MAX_BYTES",
    "RECORD",
    "Package",
    "installed",
    "read_sbom",
    "sbom",
]
