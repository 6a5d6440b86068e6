"""Two processes beside one: the throughput of a meta-step, and what the exchange takes.

    python benchmarks/processes.py [--problems 8] [--repeats 15] [--json runs/processes.json]

One process is pinned to one core; two, that train together, to one core each. All three are started
at the beginning and take turns, so that a busy machine slows all of them alike: a meta-step of the
one, one of the two, and so on. A meta-step is a segment of 20 steps on a batch of MNIST-sized MLPs
and its gradient with respect to φ; all problems count, none is sampled. What is asked: at least 1.6
times the throughput. `benchmarks/cost.py` makes of the outcome what more devices would do.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ASKED = 1.6


def worker(core: int, count: int, index: int, address: str, problems: int) -> None:
    """Be one process: at each line of input, take one step and print its seconds."""
    from metadescent.runs.cluster.cores import keep_to, own_cores

    mine = own_cores()
    keep_to([mine[core % len(mine)]])
    import jax

    if count > 1:
        jax.distributed.initialize(address, count, index, coordinator_bind_address=address)
    import jax.numpy as jnp
    from cases import STEPS, make
    from jax.flatten_util import ravel_pytree
    from jax.sharding import PartitionSpec as P

    from metadescent.meta.devices import AXIS, OnEach, everywhere, gathered, mesh_of
    from metadescent.meta.estimators.truncated import Truncated

    case, mesh = make("mnist"), mesh_of()
    whole = Truncated(problems=problems)
    estimator = OnEach(whole.part(count), mesh) if count > 1 else whole
    mesh = mesh if count > 1 else None
    given = everywhere((case.m, case.problem, jax.random.key(1), jnp.ones(STEPS)), mesh)
    begin = jax.jit(lambda m, problem, key: estimator.begin(m, problem, key))
    carry = begin(*given[:3])

    @jax.jit
    def step(m: Any, problem: Any, key: Any, weights: Any, carry: Any) -> Any:
        return estimator.estimate(m, problem, carry, key, weights)[0]

    row = ravel_pytree(gathered(given[0], mesh))[0]
    exchange = None
    if mesh is not None:
        row = everywhere(row, mesh)
        exchange = jax.jit(
            jax.shard_map(
                lambda x: jax.lax.pmean(x, AXIS),
                mesh=mesh,
                in_specs=P(),
                out_specs=P(),
                check_vma=False,
            )
        )
    calls = {"step": lambda: step(*given, carry), "exchange": lambda: exchange and exchange(row)}
    gradient = gathered(calls["step"](), mesh)
    jax.block_until_ready(calls["exchange"]())
    answer({"ready": row.nbytes, "norm": float(jnp.linalg.norm(ravel_pytree(gradient)[0]))})
    for line in sys.stdin:
        began = time.perf_counter()
        jax.block_until_ready(calls[line.strip()]())
        answer({"seconds": time.perf_counter() - began})


def answer(what: dict[str, Any]) -> None:
    """Tell the one that asked."""
    print("ANSWER", json.dumps(what), flush=True)


class Gang:
    """Processes that take their steps together."""

    def __init__(self, count: int, problems: int):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unused.getsockname()[1]}"
        size = ["--problems", str(problems)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__, *size, "--worker", str(i), str(count), str(i), address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(count)
        ]

    def answers(self) -> list[dict[str, Any]]:
        """Return what each has to say."""
        answers = []
        for process in self.processes:
            while not (line := process.stdout.readline()).startswith("ANSWER"):
                if process.poll() is not None:
                    sys.exit(f"a process ended with status {process.returncode}")
            answers.append(json.loads(line.removeprefix("ANSWER")))
        return answers

    def seconds(self, what: str) -> float:
        """Have all of them do something; return the seconds of the slowest."""
        for process in self.processes:
            process.stdin.write(what + "\n")
            process.stdin.flush()
        return max(answer["seconds"] for answer in self.answers())

    def end(self) -> None:
        """Let them end."""
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(60)


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, default=Path("runs/processes.json"))
    parser.add_argument("--worker", nargs=4, metavar=("CORE", "COUNT", "INDEX", "ADDRESS"))
    arguments = parser.parse_args()
    if arguments.worker:
        core, count, index, address = arguments.worker
        worker(int(core), int(count), int(index), address, arguments.problems)
        return
    measure(arguments.problems, arguments.repeats, arguments.json)


def measure(problems: int, repeats: int, path: Path) -> None:
    """Let one process and two take turns."""
    from timing import load, median

    from metadescent._files import write_json
    from metadescent._provenance import hardware, versions
    from metadescent.cli.console import output, table

    before = load()
    one, two = Gang(1, problems), Gang(2, problems)
    ready = [*one.answers(), *two.answers()]
    seconds: dict[str, list[float]] = {"one": [], "two": [], "exchange": []}
    for _ in range(repeats + 1):
        seconds["one"].append(one.seconds("step"))
        seconds["two"].append(two.seconds("step"))
        seconds["exchange"].append(min(two.seconds("exchange") for _ in range(5)))
    one.end()
    two.end()
    medians = {name: median(values[1:]) for name, values in seconds.items()}
    norms = [answer["norm"] for answer in ready]
    report = {
        "problems": problems,
        "steps": 20,
        "bytes": ready[0]["ready"],
        "median": medians,
        "seconds": seconds,
        "speed-up": medians["one"] / medians["two"],
        "asked": ASKED,
        "meta-gradients apart": max(abs(norm - norms[0]) for norm in norms) / norms[0],
        "load": {"before": before, "after": load()},
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(path, report)
    rows = [
        ["one process on one core", f"{1e3 * medians['one']:.1f}", ""],
        [
            "two processes on two cores",
            f"{1e3 * medians['two']:.1f}",
            f"{report['speed-up']:.2f} times; {ASKED} asked",
        ],
        ["their exchange", f"{1e3 * medians['exchange']:.2f}", f"{report['bytes']:,} bytes"],
    ]
    title = f"A meta-step on {problems} problems of MNIST's size"
    output().print(table(title, ["", "ms", ""], rows))
    output().print(f"Load averages {before} before, {load()} after.")


if __name__ == "__main__":
    main()
