"""Write the verdicts of docs/reproducing.md from the JSON of figures.

    metadescent reproduce all --out runs
    python tools/write_verdicts.py runs/*.json

Sections of other figures stay on the page, and figures without a section are named.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent.figures.paper import experiments
from metadescent.runs.reproduced import Figure, reproduction_markdown

PAGE = Path(__file__).parent.parent / "docs" / "reproducing.md"
BLOCK = re.compile(r"(?<=<!-- verdicts -->\n).*?(?=<!-- end of verdicts -->)", re.DOTALL)
SECTION = re.compile(r"^### (\S+)\n\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
MISSING = "By these criteria the following have not been measured yet: "


def main() -> None:
    """Put what JSON files say into the page."""
    parser = argparse.ArgumentParser(description="Write the verdicts of docs/reproducing.md.")
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    figures = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.files]
    page = arguments.page.read_text(encoding="utf-8")
    write_atomically(arguments.page, with_verdicts(page, figures))


def with_verdicts(page: str, figures: Sequence[Figure]) -> str:
    """Return the page with what figures came to, in the paper's order."""
    (block,) = BLOCK.findall(page)
    sections = {name: text.strip() for name, text in SECTION.findall(block)}
    for made in figures:
        if any(claim["holds"] is None for claim in made["claims"]):
            raise UserError(
                f"the JSON of {made['figure']} is of a smoke run, which judges no claim; "
                "try --budget cpu"
            )
        sections[made["figure"]] = reproduction_markdown(made)
    missing = [f"`{name}`" for name in experiments() if name not in sections]
    texts = [f"### {name}\n\n{sections[name]}\n\n" for name in experiments() if name in sections]
    # What is missing stands first, where no section takes it for its own.
    said = f"{MISSING}{', '.join(missing)}.\n\n" if missing else ""
    return BLOCK.sub(lambda _: f"\n{said}{''.join(texts)}", page)


if __name__ == "__main__":
    main()
