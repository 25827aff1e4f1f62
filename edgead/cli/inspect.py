"""``edgead inspect``: what a bundle says about itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edgead.bundle_names import find_bundle
from edgead.cli.completion import complete_paths
from edgead.cli.fit_options import windows_notices
from edgead.cli.output import json_option, print_table
from edgead.cli.readable import print_facts, print_reports
from edgead.cli.sizes_found import print_sizes_found, sizes_found_record
from edgead.cli.trade_off import kept_record, print_kept
from edgead.names import json_text, shown
from edgead.notices import count, say

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.manifest import MethodRecord
    from edgead.sbom import Package


@click.command("inspect")
@click.argument("bundle", shell_complete=complete_paths)
@json_option
def command(bundle: str, as_json: bool) -> None:
    """Show what is in BUNDLE: its method, input, threshold, precision, notices, reports and files.

    Numbers are rounded and hashes cut short; --json prints the manifest as it is, and what revised its
    thresholds since.
    """
    from edgead.bundle import read_bundle
    from edgead.manifest import DEFAULT, parts_of
    from edgead.options import show

    found = read_bundle(find_bundle(bundle), demanded=False, tell=False)
    manifest = found.manifest
    if as_json:
        click.echo(_as_json(found), nl=False)
        return
    method, threshold, rule = manifest.method, manifest.threshold, manifest.input
    options = " ".join(f"{name}={show(value)}" for name, value in sorted(method.options.items()))
    rate, n = threshold.false_positive_rate, threshold.n_images
    aimed = f", for a false-positive rate of {rate:g} on {count(n, 'held-out good image')}"
    aimed = aimed if threshold.is_aimed else ""
    print_table([
        ("bundle", str(found.path)),
        ("manifest", f"SHA-256 {found.digest}"),
        ("kind", f"{manifest.kind}, format {manifest.format}, written by edgead {manifest.edgead}"),
        ("method", f"{method.name} ({parts_of(method)})"),
        ("options", f"{options} seed={method.seed}".strip()),
        ("input", f"{rule.size[0]}x{rule.size[1]} (height x width), {rule.channel_order}, {rule.resize}"),
        *(("windows", say(notice)) for notice in windows_notices(manifest)),
        *([("region of interest", say(manifest.roi.notice()))] if manifest.roi else []),
        ("target", f"{manifest.target}, runs on {manifest.engine}"),
        ("precision", f"{manifest.precision} (the rest in {manifest.engine_precision})"),
        *image_score_rows(method),
        ("threshold", f"image score {threshold.score:.6g}, anomaly map {threshold.pixel:.6g}"),
        ("", say(threshold.how()) + aimed),
        ("", say(threshold.notice())),
        *([("", f"areas under {threshold.smallest_area} pixels of the map are left out of mask and regions")]
          if threshold.smallest_area else []),
        *([("revision", say(found.revision.notice()))] if found.revision else []),
        *([("signatures", f"{len(found.signatures)}, unchecked: `edgead verify --key FILE` checks them")]
          if found.signatures else []),
        *((f"threshold of {name}", f"image score {own.score:.6g}, anomaly map {own.pixel:.6g}")
          for name, own in manifest.thresholds.items() if name != DEFAULT),
    ])  # fmt: skip
    print_kept(found, "\nThresholds, and the defects that they find")
    print_sizes_found(manifest, "\nSizes of defects that were found when it was fitted")
    notices = (*found.notices, *manifest.size_doubts)
    if notices:
        click.echo("\nWhat to know")
    for notice in notices:
        click.echo(click.wrap_text(shown(say(notice)), 110, "  * ", "    "))
    if manifest.reports:
        print_reports(manifest.reports)
    for title, facts in (("Facts", manifest.facts), ("Provenance", manifest.provenance)):
        if facts:
            print_facts(title, facts)
    for title, packages in _made_with(found).items():
        click.echo(f"\n{title}")
        told = ", ".join(f"{package.name} {package.version}" for package in packages)
        click.echo(click.wrap_text(shown(told or "nothing is listed"), 110, "  ", "  "))
    click.echo("\nFiles")
    rows = [(file.path, f"{file.bytes:,}", file.sha256[:16]) for file in manifest.files]
    print_table(rows, ("path", "bytes", "sha256"), indent="  ")


def image_score_rows(method: MethodRecord) -> list[tuple[str, str]]:
    """Which number the image score is, and why; nothing where a bundle doesn't say."""
    from edgead.manifest import ComposedMethod

    chosen = method.image_score if isinstance(method, ComposedMethod) else None
    if chosen is None:
        return []
    which, why = (say(notice) for notice in chosen.notices())
    return [("image score", which.removeprefix("image score: ")), ("", why)]


def _made_with(bundle: Bundle) -> dict[str, tuple[Package, ...]]:
    """The packages that made it, by what they did; nothing where an older edgead wrote it."""
    from edgead.sbom import FILE, FITTED_FILE, read_sbom

    fitted = bundle.manifest.kind == "reference"
    titles = {FITTED_FILE: "Fitted with", FILE: "Fitted with" if fitted else "Exported with"}
    listed = {file.path for file in bundle.manifest.files}
    return {
        title: read_sbom(bundle.read(name), f"{bundle.path}: '{name}'")
        for name, title in titles.items()
        if name in listed
    }


def _as_json(bundle: Bundle) -> str:
    """The manifest as it's written, but each notice with its sentence, and the thresholds that are in force.

    ``sizes_found`` has intervals and sentences beside what the manifest has of them, and
    ``trade_off`` has what these and others find of the synthetic defects.
    ``manifest_sha256`` is of the file; its own ``digest`` is shown where all is as it's written there.
    The packages that made it are documents of their own, ``sbom.cdx.json`` in the bundle.
    ``unchecked_signatures`` is how many there are; ``edgead verify --key`` checks them.
    Where they were revised, ``revision`` says how, and ``exported_thresholds`` has the manifest's own.
    """
    from edgead.bundle import read_manifest
    from edgead.manifest.sealing import SEALED

    document = json.loads(bundle.manifest.to_json()) | {"manifest_sha256": bundle.digest}
    if bundle.manifest.format < SEALED or bundle.revision:
        del document["digest"]  # of what is shown here, and no manifest's
    if bundle.notices:
        document["notices"] = [notice.record() for notice in bundle.notices]
    if bundle.revision:
        exported = json.loads(read_manifest(bundle.path).to_json())["thresholds"]
        document |= {"revision": bundle.revision.record(), "exported_thresholds": exported}
    if bundle.signatures:
        document["unchecked_signatures"] = len(bundle.signatures)
    if (sizes := sizes_found_record(bundle.manifest)) is not None:
        document["sizes_found"] = sizes
    if (told := kept_record(bundle)) is not None:
        document["trade_off"] = told
    return json_text(document, indent=2, sort_keys=True) + "\n"
