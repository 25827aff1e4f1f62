"""Lines with a GigE camera whose packets are lost: has each image, lost ones too, its one verdict?

    PYTHONPATH=. python tools/camera_loss.py [--lost N]... [--seconds S] [--rounds N]

aravis' virtual camera (package aravis-tools) runs in a network namespace, and loses N of a thousand packets.
After so many seconds it's switched off and on again, and the line goes on for half of them. The exit code is
1 where a number of the camera's has no verdict or several, or an image that was lost has one that isn't the
fail-safe's.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.plugins import gige


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lost", type=int, action="append", metavar="N", help="of 1000 packets (0, 5, 50)")
    parser.add_argument("--seconds", type=float, default=20.0, help="until the camera is switched off (20)")
    parser.add_argument("--rounds", type=int, default=1, help="of each (1)")
    asked = parser.parse_args()
    if (why := gige.lacking()) is not None:
        print(why)
        return 2
    print("| lost of 1000 packets | opening | images | verdicts | score | lost | kept |")
    print("|" + " --- |" * 7, flush=True)
    broken = 0
    for ratio in (asked.lost or [0, 5, 50]) * asked.rounds:
        found = gige.inside("line", str(ratio), str(asked.seconds), seconds=120 + 4 * asked.seconds)
        at_the_sink = Counter(each["trigger"] for each in found["at_the_sink"])
        for opening, verdicts in enumerate(found["openings"], 1):
            numbers = sorted(each["frame_id"] for each in verdicts if each["frame_id"] is not None)
            lost = [each for each in verdicts if each["score"] is None]
            whole = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else False
            kept = whole and all(each["decision"] == "reject" for each in lost)
            kept &= all(at_the_sink[each["trigger"]] == 1 for each in verdicts)
            broken += not kept
            images = numbers[-1] - numbers[0] + 1 if numbers else 0
            scored = len(verdicts) - len(lost)
            print(f"| {ratio} | {opening} | {images} | {len(verdicts)} | {scored} | {len(lost)} | {kept} |",
                  flush=True)  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
