"""Write the scores of docs/bench.md from the JSON of `metadescent bench`.

    metadescent bench mlp-robust-lstm --begun --horizons 500 --json scores.json
    python tools/write_scores.py scores.json

For each horizon there are two tables. One has the scores over all tasks. The other has a row for
each task, with the speed-ups of each optimizer over the envelope of Adam's constant rates and over
tuned AdamW.
"""

import argparse
import re
from pathlib import Path

from metadescent._files import write_atomically
from metadescent._text import number
from metadescent.bench.score import TaskScore, summarized
from metadescent.runs.benching import score_from
from metadescent.runs.benchings import Piece, pieces_in

PAGE = Path(__file__).parent.parent / "docs" / "bench.md"
BLOCK = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- end of scores -->)", re.DOTALL)
Scores = dict[str, dict[str, TaskScore]]
"""By optimizer and task."""
ROWS = {
    "speed-up over Adam's rates, median": lambda s: _median([x.speed_up for x in s]),
    "the same over AdamW": lambda s: _median([x.against_adamw for x in s]),
    "never at the level of Adam's rates": lambda s: (
        f"{sum(x.speed_up == 0 for x in s)} of {len(s)}"
    ),
    "below Adam at 10⁻³": lambda s: f"{sum(x.beats_default for x in s)} of {len(s)}",
    "held out ÷ AdamW, at the end": lambda s: _median([x.held_out_end for x in s], False),
    "held out ÷ AdamW, at best": lambda s: _median([x.held_out_best for x in s], False),
    "diverged": lambda s: f"{sum(x.diverged for x in s)} of {sum(x.seeds for x in s)}",
}


def main() -> None:
    """Put what the JSON says into the page."""
    parser = argparse.ArgumentParser(description="Write the scores of docs/bench.md.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    page = arguments.page.read_text(encoding="utf-8")
    text = scores_markdown(pieces_in(arguments.file))
    write_atomically(arguments.page, BLOCK.sub(lambda _: f"\n{text}\n", page))


def scores_markdown(pieces: list[Piece]) -> str:
    """Return the tables, a horizon after the other."""
    by_steps: dict[int, Scores] = {}
    for piece in pieces:
        of, score = piece["of"], score_from(piece["result"])
        name = Path(of["optimizer"]).name
        by_steps.setdefault(of["steps"], {}).setdefault(name, {})[of["task"]] = score
    return "\n".join(_horizon(steps, scores) for steps, scores in sorted(by_steps.items()))


def _horizon(steps: int, scores: Scores) -> str:
    tasks = list(dict.fromkeys(task for by_task in scores.values() for task in by_task))
    lines = [
        f"### {steps:,} steps\n",
        _row("over all tasks", *scores),
        _row("---", *["---"] * len(scores)),
    ]
    lines += [
        _row(name, *(say([*x.values()]) for x in scores.values())) for name, say in ROWS.items()
    ]
    heads = [f"{name}, over {other}" for name in scores for other in ("Adam's rates", "AdamW")]
    lines += ["", _row("task", *heads), _row("---", *["---"] * len(heads))]
    for task in tasks:
        cells = []
        for by_task in scores.values():
            score = by_task.get(task)
            cells += [_times(score.speed_up), _times(score.against_adamw)] if score else ["–", "–"]
        lines.append(_row(f"`{task}`", *cells))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _median(values: list[float], larger_is_better: bool = True) -> str:
    summary = summarized(values, larger_is_better=larger_is_better)
    return f"{number(summary.median)} ({number(summary.low)} – {number(summary.high)})"


def _times(gain: float) -> str:
    return "never" if gain == 0 else f"{gain:.2f}"


if __name__ == "__main__":
    main()
