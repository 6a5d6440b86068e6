"""Mutations of files: of their bytes, and of the numbers and texts in the JSON that they hold."""

import json
import random
import struct
from typing import Any

BOUNDARIES = (0, 1, 0x7F, 0x80, 0xFF)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), 0.5, "", "x",
    "../../x", "/etc/passwd", "canary:Rule", "canary.py:Rule", "__import__('canary')", "\x00",
    "θ" * 99, [], [[]], {}, {"a": 1}, [1, "a"], "lstm(layers=(10000000,))", "lstm(layers=(1,)*9)",
    "(" * 300,
    "lstm >> pace", "* -> lstm", "optax.sgd(learning_rate=0.1)", "quadratic(dimension=-1)",
)  # fmt: skip


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Return a file with one to four random changes; `others` lend pieces of theirs."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(_MUTATIONS)(data, others, chance)
    return data


def mutated_json(text: bytes, chance: random.Random) -> bytes:
    """Return a JSON text in which one value, at any depth, is another, or is gone."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    places = list(_places(value))
    if not places:
        return json.dumps(chance.choice(VALUES)).encode()
    parent, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[chance.choice(("x", "epoch", "__metadata__", "", "format"))] = parent.pop(key)
        case _:
            parent[key] = chance.choice(VALUES)
    return json.dumps(value).encode()


def mutated_safetensors(data: bytes, chance: random.Random) -> bytes:
    """Return a safetensors file with a change in its header, or in the metadata in it."""
    (size,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + size]
    if chance.random() < 0.5:
        whole = json.loads(header)
        card = whole["__metadata__"]["metadescent"]
        whole["__metadata__"]["metadescent"] = mutated_json(card.encode(), chance).decode()
        header = json.dumps(whole).encode()
    else:
        header = mutated_json(header, chance)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _flip(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    return _at(data, chance, lambda byte: byte ^ 1 << chance.randrange(8))


def _set(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    return _at(data, chance, lambda _: chance.choice(BOUNDARIES))


def _early(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    return _flip(data[:64], others, chance) + data[64:]


def _cut(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _drop(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.randrange(1, 64) :]


def _splice(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    other = chance.choice(others)
    start, place = chance.randrange(len(other) + 1), chance.randrange(len(data) + 1)
    return data[:place] + other[start : start + chance.randrange(256)] + data[place:]


def _number(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    form = chance.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    most = 256 ** struct.calcsize(form) - 1
    number = struct.pack(form, chance.choice((0, 1, most, most // 2, most // 2 + 1, len(data))))
    place = chance.randrange(len(data) + 1)
    return data[:place] + number + data[place + len(number) :]


def _grow(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.randrange(1, 300))


def _at(data: bytes, chance: random.Random, change: Any) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([change(data[place])]) + data[place + 1 :]


_MUTATIONS = (_flip, _flip, _set, _early, _cut, _drop, _splice, _number, _grow)
