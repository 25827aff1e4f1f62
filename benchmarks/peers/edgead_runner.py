"""edgead's side: a bundle. ``python edgead_runner.py WORK BUNDLE THREADS``"""

from __future__ import annotations

import sys
from pathlib import Path

from serving import own_stdout, serve


def main(work: str, bundle: str, threads: str) -> None:
    out = own_stdout()
    import edgead

    detector = edgead.load(bundle, threads=int(threads))
    size = sum(f.stat().st_size for f in Path(bundle).iterdir())
    facts = {"edgead": edgead.__version__, "model_bytes": size}
    serve(Path(work), lambda frame: detector(frame).score, facts, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
