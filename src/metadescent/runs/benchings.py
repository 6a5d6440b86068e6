"""Pieces of the bench, each done once: pieces that a file has already are taken from it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import is_file, is_stream, read_bytes, write_json
from metadescent.bench.rivals import RIVALS
from metadescent.descent.beginnings import trained_of
from metadescent.runs.benching import Benching, run_benching
from metadescent.runs.cluster.executors import Engine
from metadescent.runs.cluster.sweeps import sweep

Piece = dict[str, Any]
"""What a piece of work was, the digest of its optimizer, and its result."""
RESULTS = "results"


def run_benchings(
    work: Sequence[Benching],
    engine: Engine,
    path: Path | None = None,
    report: Callable[[Benching], None] = lambda _: None,
) -> list[Piece]:
    """Do the pieces that a file does not have yet, and return all results.

    Each piece is written into the file once it is done.

    Raises:
        UserError: if the file exists and is something else.
    """
    digests = {piece.optimizer: _digest(piece.optimizer) for piece in work}
    done = pieces_in(path)

    def of(piece: Benching) -> dict[str, Any]:
        asked = piece._asdict()
        # The result does not depend on where data and references are.
        chosen = {n: asked[n] for n in ("optimizer", "task", "steps", "seeds", "seed")}
        return {**chosen, "digest": digests[piece.optimizer]}

    def kept(piece: Benching) -> dict[str, Any] | None:
        return next((known["result"] for known in done if known["of"] == of(piece)), None)

    def keep(piece: Benching, result: dict[str, Any]) -> None:
        done.append({"of": of(piece), "result": result})
        if path is not None and not is_stream(path):
            write_json(path, {RESULTS: done})

    results = sweep(
        run_benching, work, engine, kept=kept, keep=keep, report=lambda piece, _: report(piece)
    )
    pieces = [{"of": of(w), "result": result} for w, result in zip(work, results, strict=True)]
    if path is not None and is_stream(path):
        write_json(path, {RESULTS: pieces})
    return pieces


def _digest(optimizer: str) -> str:
    """Return the digest of an optimizer's file; a hand-designed one has none."""
    if optimizer in RIVALS:
        return ""
    return hashlib.sha256(read_bytes(zoo.path(trained_of(optimizer)))).hexdigest()


def pieces_in(path: Path | None) -> list[Piece]:
    """Return the pieces in the file of an earlier call; none if there is no file."""
    if path is None or not is_file(path):
        return []
    try:
        done = json.loads(read_bytes(path))[RESULTS]
        if all(isinstance(piece["of"], dict) and "score" in piece["result"] for piece in done):
            return done
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(f"{path} is there and has no scores of metadescent bench; choose another file")
