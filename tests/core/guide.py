"""docs/write-a-plugin.md in pieces: its blocks in order, and the files that they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
LANGUAGES = ("console", "python", "toml")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text, and the file that its first line names."""

    language: str
    text: str

    @property
    def file(self) -> str:
        return self.text.splitlines()[0].removeprefix("# ")

    @property
    def commands(self) -> str:
        """The lines after a prompt."""
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)]


def apply(block: Block, folder: Path) -> None:
    """Do to the plugin's folder what the reader does with a block of code: save it, or merge it."""
    file = folder / block.file
    if block.language == "toml":
        kept = re.sub(
            r"^\[project\.entry-points\.edgead\]\n(?:[^\[].*\n|\n)*", "", file.read_text(), flags=re.M
        )
        file.write_text(f"{kept}\n{block.text}")
    else:
        file.write_text(block.text)
