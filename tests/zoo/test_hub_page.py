"""The page on pretrained optimizers keeps its word on the Hub: it is pushed, and then loaded."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metadescent import zoo

PAGE = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text()


def test_its_command_pushes_what_its_code_loads(
    hub: Any, metadescent: Callable, assert_same_bits: Callable
) -> None:
    (command,) = re.findall(r"^    metadescent (push .+)$", PAGE, re.MULTILINE)
    words = shlex.split(command)
    status, out, said = metadescent(*words)
    assert status == 0, said
    (shown,) = re.findall(r"`(metadescent\.load\([^`]+COMMIT[^`]+)`", PAGE)
    assert re.fullmatch(re.escape(shown).replace("COMMIT", r"\w{40}"), out.strip())
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "docs/zoo.md", "exec"), names)
    assert_same_bits(names["m"], zoo.load(words[1]))
    assert out == f'metadescent.load("{names["name"]}")\n'
