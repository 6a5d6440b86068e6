"""The one table of a run, in sections, each with the headings of its columns in its first row."""

from typing import Any

from applied import limits
from rich.table import Table
from targets import targets

from metadescent.cli.console import table

COLUMNS = 9
DASH = "–"
Row = list[str]


def report_table(report: dict[str, Any]) -> Table:
    """Return everything that was measured, and the targets last."""
    sections = [_machine(report), *(_case(report, name) for name in _names(report))]
    sections += [_update(report), _limits(report), _linear(report), _targets(report)]
    result = table(_title(report), [""] * COLUMNS, [])
    result.show_header = False
    result.columns[0].no_wrap = True
    for section in sections:
        if len(section) < 2:
            continue
        headings, *rows = section
        result.add_row(*_padded([f"[bold]{word}[/]" if word else "" for word in headings]))
        for row in rows:
            result.add_row(*_padded(row))
        result.add_section()
    return result


def _title(report: dict[str, Any]) -> str:
    before, after = (report["load"][when][0] for when in ("before", "after"))
    kernel = "kernel in C++" if report["kernel in C++"] else "no kernel in C++"
    machine = f"{report['hardware']}, {kernel}"
    return f"{machine}; load {before:.1f} before, {after:.1f} after; medians"


def _padded(row: Row) -> Row:
    return row + [""] * (COLUMNS - len(row))


def _names(report: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys([*report["cases"], *report["fresh"]]))


def _machine(report: dict[str, Any]) -> list[Row]:
    rows = [["machine", "2048² product", "memory"]]
    for name, case in report["cases"].items():
        rates = {rate: case["machine"][rate]["median"] / 1e9 for rate in ("flops", "bytes")}
        rows.append([name, f"{rates['flops']:.0f} GFLOP/s", f"{rates['bytes']:.0f} GB/s"])
    return rows


def _case(report: dict[str, Any], name: str) -> list[Row]:
    case = report["cases"].get(name, {"forms": {}, "floors": {}})
    fresh = report["fresh"].get(name, {})
    headings = ["time", "÷ floor", "textbook ÷", "rows ÷", "torch ÷"]
    headings += ["first: cold, warm", "peak (runs, XLA)", "agrees to"]
    rows = [[f"{name}: meta-step", *headings]]
    for unit, suffix in (("meta_step", ""), ("episode", ", episode")):
        for form in dict.fromkeys([*case["forms"], *fresh]):
            found = case["forms"].get(form, {})
            if unit in found or (unit == "meta_step" and (fresh or "skipped" in found)):
                alone = fresh.get(form, {}) if unit == "meta_step" else {}
                rows.append([form + suffix, *_form(case, found, unit, alone)])
    floor = case["floors"].get("floor", {}).get("meta_step", {}).get("median")
    for kind, found in case["floors"].items():
        median = found["meta_step"]["median"]
        note = f"scales {found['scaling']:.2f}"
        rows.append([kind, _milliseconds(median), f"{median / floor:.2f}", "", "", "", "", note])
    return rows


def _form(case: dict[str, Any], found: dict[str, Any], unit: str, alone: dict[str, Any]) -> Row:
    if "skipped" in found:
        return ["left out", *[DASH] * 6, found["skipped"]]
    row = [DASH] * 5
    if unit in found:
        median = found[unit]["median"]
        segments = case["segments"] if unit == "episode" else 1
        floor = segments * case["floors"]["floor"]["meta_step"]["median"]
        row = [_milliseconds(median), f"{median / floor:.2f}"]
        for other in ("textbook", "rows", "torch"):
            theirs = case["forms"].get(other, {}).get(unit)
            row.append(f"{theirs['median'] / median:.2f}×" if theirs else DASH)
    return [*row, _first(alone), _peak(alone), _agreement(found) if unit != "episode" else ""]


def _first(alone: dict[str, Any]) -> str:
    if "first" not in alone:
        return DASH
    warm = f", {alone['warm']:.2f}" if alone.get("warm") else ""
    return f"{alone['first']:.2f}{warm} s"


def _peak(alone: dict[str, Any]) -> str:
    if "peak" not in alone:
        return "failed" if "failed" in alone else DASH
    sizes = [_mebibytes(alone[size]) for size in ("run_peak", "temporary") if size in alone]
    return f"{_mebibytes(alone['peak'])} ({', '.join(sizes)}) MiB"


def _agreement(found: dict[str, Any]) -> str:
    if "agrees" not in found:
        return DASH
    error = f"{found['gradient_error']:.0e}"
    if found["agrees"] is None:
        return f"{error}, a sample"
    return error if found["agrees"] else f"{error}: DIFFERS"


def _update(report: dict[str, Any]) -> list[Row]:
    headings = ["one applied update", "learned", "moves", "at", "adam", "moves", "at"]
    rows = [[*headings, "learned ÷ adam"]]
    for name, case in report["cases"].items():
        learned, adam = (case["updates"][kind] for kind in ("learned", "adam"))
        row = [name]
        for update in (learned, adam):
            rate = update["bytes"] / update["median"] / 1e9
            moves = f"{update['bytes'] / 1e6:.3g} MB"
            row += [_milliseconds(update["median"]), moves, f"{rate:.1f} GB/s"]
        rows.append([*row, f"{learned['median'] / adam['median']:.1f}"])
    return rows


def _limits(report: dict[str, Any]) -> list[Row]:
    headings = ["the learned update's limits", "bytes", "products", "σ, tanh, log", "both"]
    rows = [[*headings, "binds", "share", "adam's of bytes"]]
    for name, case in report["cases"].items():
        if name == "million":
            found = limits(case)
            times = [found[key] for key in ("bytes", "products", "transcendental", "arithmetic")]
            row = [name, *map(_milliseconds, times), found["binding"]]
            rows.append([*row, f"{found['share']:.0%}", f"{found['adam_share']:.0%}"])
    return rows


def _linear(report: dict[str, Any]) -> list[Row]:
    rows = [["two-phase, cost as sizes grow", "steps", "meta-step", "÷ product"]]
    found = report.get("linear", {"coordinates": [], "steps": []})
    for row in (*found["coordinates"], *found["steps"]):
        cells = [f"{row['coordinates']:,} coordinates", f"{row['steps']}"]
        rows.append([*cells, _milliseconds(row["meta_step"]["median"]), f"{row['ns']:.1f} ns"])
    return rows


def _targets(report: dict[str, Any]) -> list[Row]:
    rows = [["target", "asked", "got", "met"]]
    for name, asked, got, met in targets(report):
        rows.append([name, asked, got, "yes" if met else "no"])
    return rows


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f}"
