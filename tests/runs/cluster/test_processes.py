"""Several processes that train together do what one does; a lost one ends them, and they resume."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest

from metadescent.meta.schedule import OnNonfinite
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_problem, recipe_of
from metadescent.runs.checkpoint import latest_epoch
from metadescent.runs.cluster import gang
from metadescent.runs.cluster.launcher import MAIN
from metadescent.runs.cluster.seats import Seat
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import finished_state, train

NAME, PROBLEM = "quadratic(dimension=2)", Quadratic(dimension=2)
RECIPE = replace(
    Recipe(**recipe_of(NAME)),
    optimizer="lstm(layers=(2,), p=None)",
    steps=4,
    unroll=2,
    problems=4,
    epochs=80,
    episodes=1,
    validation_problems=4,
)


PLAN = plan_of(RECIPE)


@pytest.fixture(scope="module")
def command(flags_of: Callable) -> Callable[..., list[str]]:
    """The words that train with this recipe, and with more flags."""

    def of(*more: str) -> list[str]:
        return [sys.executable, "-c", MAIN, "train", NAME, *flags_of(RECIPE), *more]

    return of


@contextmanager
def started(words: list[str], **options: Any) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def alone(trained: Callable) -> list[Any]:
    """The states and infos of the run of one process."""
    return trained(RECIPE)[1]


def assert_as_one(folder: Path, alone: list[Any]) -> None:
    state = finished_state(folder, PLAN)
    expected = alone[-1][0]
    assert int(state.epoch) == int(expected.epoch)
    for a, b in zip(jax.tree.leaves(state.m), jax.tree.leaves(expected.m), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    curve = [line["validation_loss"] for line in read_metrics(folder)]
    np.testing.assert_allclose(curve, [float(i.validation_loss) for _, i in alone], rtol=1e-3)
    # Before what differs in rounding has had time to grow.
    norms = read_metrics(folder)[0]["gradient_norms"]
    np.testing.assert_allclose(norms, alone[0][1].gradient_norms[0], rtol=1e-5)
    np.testing.assert_allclose(curve[0], float(alone[0][1].validation_loss), rtol=1e-5)


def wait_for(true: Callable[[], bool], process: subprocess.Popen, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert true(), process.communicate()


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_and_one_goes_on_do_as_one(
    command: Callable, tmp_path: Path, alone: list[Any]
) -> None:
    with started(command("--out", str(tmp_path), "--processes", "2")) as process:
        wait_for(lambda: latest_epoch(tmp_path / "checkpoints") >= 2, process)
        pids = (
            Path(f"/proc/{process.pid}/task/{process.pid}/children")
            .read_text(encoding="utf-8")
            .split()
        )
        assert len(pids) == 2
        killed_at = time.monotonic()
        os.kill(int(pids[1]), signal.SIGKILL)
        out, said = process.communicate(timeout=60)
    assert time.monotonic() - killed_at < 20
    assert process.returncode == 75
    assert said.splitlines()[-1].startswith("metadescent: process 1 was killed by SIGKILL")
    assert "Traceback" not in said
    assert "Gloo" not in out
    assert 2 <= latest_epoch(tmp_path / "checkpoints") < RECIPE.epochs
    assert list(train(tmp_path, PROBLEM, NAME, PLAN, resume=True))
    assert_as_one(tmp_path, alone)


@pytest.mark.slow
def test_four_processes_do_as_one(command: Callable, tmp_path: Path, alone: list[Any]) -> None:
    with started(command("--out", str(tmp_path), "--processes", "4")) as process:
        _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert_as_one(tmp_path, alone)


@pytest.mark.slow
def test_two_hosts_with_names_of_their_own_do_as_one(
    command: Callable, tmp_path: Path, alone: list[Any]
) -> None:
    with two_hosts(tmp_path) as hosts:
        seat = ["--coordinator", f"{hosts[0][0]}:5017", "--processes", "2"]
        words = command("--out", str(tmp_path / "run"), *seat)
        with (
            started([*hosts[1][1], *words, "--process-id", "1"]) as other,
            started([*hosts[0][1], *words, "--process-id", "0"]) as first,
        ):
            _, said = first.communicate(timeout=600)
            _, other_said = other.communicate(timeout=60)
    assert first.returncode == 0, said + other_said
    assert other.returncode == 0, other_said
    assert_as_one(tmp_path / "run", alone)


def slurm(number: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(number),
        "SLURM_LOCALID": str(number),
    }


def open_mpi(number: int) -> dict[str, str]:
    return {
        "OMPI_MCA_orte_hnp_uri": f"{4096 * os.getpid()}.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(number),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(number),
    }


@pytest.mark.slow
@pytest.mark.parametrize("starter", [slurm, open_mpi])
def test_what_starts_several_processes_has_them_find_each_other(
    command: Callable, starter: Callable[[int], dict[str, str]], tmp_path: Path, alone: list[Any]
) -> None:
    words = command("--out", str(tmp_path))
    with (
        started(words, env={**os.environ, **starter(1)}) as other,
        started(words, env={**os.environ, **starter(0)}) as first,
    ):
        _, said = first.communicate(timeout=600)
        _, other_said = other.communicate(timeout=60)
    assert (first.returncode, other.returncode) == (0, 0), said + other_said
    assert_as_one(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "by"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGTERM)]
)
def test_of_processes_that_were_started_one_by_one_none_outlives_another(
    command: Callable, lost: int, by: signal.Signals, tmp_path: Path
) -> None:
    # One that is free: other tests may run beside this one.
    with socket.create_server(("127.0.0.1", 0)) as server:
        coordinator = f"127.0.0.1:{server.getsockname()[1]}"
    seat = ("--coordinator", coordinator, "--processes", "2", "--process-id")
    words = command("--out", str(tmp_path), "--epochs", "100000", *seat)
    with started([*words, "0"]) as first, started([*words, "1"]) as second:
        wait_for(lambda: latest_epoch(tmp_path / "checkpoints") >= 2, first)
        both = [first, second]
        both[lost].send_signal(by)
        _, said = both[1 - lost].communicate(timeout=120)
        assert both[lost].wait(60) == (143 if by == signal.SIGTERM else -by)
    assert both[1 - lost].returncode == 75, said
    assert said.splitlines()[-1].startswith("metadescent: another process was lost (")


@pytest.mark.slow
def test_a_signal_to_the_one_that_watches_lets_the_epoch_at_hand_be_saved(
    command: Callable, tmp_path: Path
) -> None:
    with started(
        command("--out", str(tmp_path), "--epochs", "100000", "--processes", "2", "--restarts", "1")
    ) as process:
        wait_for(lambda: latest_epoch(tmp_path / "checkpoints") >= 2, process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    done = latest_epoch(tmp_path / "checkpoints")
    assert said.splitlines()[-1].startswith(f"metadescent: terminated after epoch {done} of")
    assert len(read_metrics(tmp_path)) == done


@pytest.mark.slow
@pytest.mark.parametrize(("told", "ends"), [((0, 1), [143, 143]), ((0,), [143, 0])])
def test_processes_that_were_started_one_by_one_end_the_epoch_at_hand_together(
    command: Callable, told: tuple[int, ...], ends: list[int], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        coordinator = f"127.0.0.1:{server.getsockname()[1]}"
    seat = ("--coordinator", coordinator, "--processes", "2", "--process-id")
    words = command("--out", str(tmp_path), "--epochs", "100000", *seat)
    with started([*words, "0"]) as first, started([*words, "1"]) as second:
        both = [first, second]
        wait_for(lambda: latest_epoch(tmp_path / "checkpoints") >= 2, first)
        for index in told:
            both[index].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == ends, said
    done = latest_epoch(tmp_path / "checkpoints")
    for index in told:
        assert said[index].splitlines()[-1].startswith("metadescent: terminated after"), said
    assert f"terminated after epoch {done} of" in said[0]
    assert len(read_metrics(tmp_path)) == done


FAULTY = """
import jax
import jax.numpy as jnp

from metadescent import FromFunction


def faulty():
    factors = jnp.ones(10).at[0].set(jnp.nan)
    return FromFunction(
        lambda theta, key, factor: factor * jnp.sum(theta**2),
        lambda key: jax.random.normal(key, (2,)),
        factors,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("policy", get_args(OnNonfinite))
def test_processes_meet_what_is_not_finite_as_one(
    policy: OnNonfinite, tmp_path: Path, flags_of: Callable
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    name = f"{tmp_path / 'faulty.py'}:faulty"
    plan = plan_of(replace(RECIPE, epochs=6, on_nonfinite=policy))
    words = [name, *flags_of(plan.recipe, name), "--out", str(tmp_path / "two"), "--processes", "2"]
    with started([sys.executable, "-c", MAIN, "train", *words]) as process:
        _, said = process.communicate(timeout=600)
    if policy == "stop":
        # Some f are struck at θ₀, which is seen before anything is trained.
        assert process.returncode == 2
        assert said.splitlines()[-1].startswith("metadescent: f is not finite at θ₀, or its")
        return
    run = train(tmp_path / "one", make_problem(name), name, plan)
    assert process.returncode == 0, said
    *_, (end, _) = run
    one, two = (read_metrics(tmp_path / folder) for folder in ("one", "two"))
    for count in ("nonfinite", "restarted"):
        assert [line[count] for line in two] == [line[count] for line in one]
    assert 0 < sum(line["nonfinite"] for line in one) < 12
    assert int(end.best_epoch) > 0
    by_two = finished_state(tmp_path / "two", plan)
    for a, b in zip(jax.tree.leaves(by_two), jax.tree.leaves(end), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@contextmanager
def two_hosts(folder: Path) -> Iterator[list[tuple[str, list[str]]]]:
    """Yield the names of two hosts, and the words that run a command on each.

    They are network namespaces with a cable between them, and host names and a file of hosts each.
    """
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("two hosts need ip and unshare")
    number = str(os.getpid())
    spaces, ends = [f"md{x}{number}" for x in "ab"], [f"v{x}{number}" for x in "ab"]
    names = ["md-host-a", "md-host-b"]
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.93.7.1 md-host-a\n10.93.7.2 md-host-b\n")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    try:
        try:
            for space in spaces:
                ip("netns", "add", space)
            cable = ["peer", "name", ends[1], "netns", spaces[1]]
            ip("link", "add", ends[0], "netns", spaces[0], "type", "veth", *cable)
            for i, (space, end) in enumerate(zip(spaces, ends, strict=True), 1):
                ip("-n", space, "addr", "add", f"10.93.7.{i}/24", "dev", end)
                ip("-n", space, "link", "set", end, "up")
                ip("-n", space, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"two hosts need network namespaces: {error.stderr.strip()}")
        within = f'mount --bind "{hosts}" /etc/hosts && hostname "$0" && exec "$@"'
        yield [
            (name, ["ip", "netns", "exec", space, "unshare", "-um", "sh", "-c", within, name])
            for name, space in zip(names, spaces, strict=True)
        ]
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def test_a_process_that_is_alone_leads_and_has_nobody_to_agree_with() -> None:
    with gang.seated(None):
        assert gang.is_leader()
    assert gang.agreed(b"begin") == b"begin"
    # One problem cannot be shared out, so there is nothing to spread over devices.
    assert gang.lead(NAME, Recipe(problems=1)) is None


def test_who_follows_does_so_until_the_leader_says_that_this_is_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = iter([gang.END])
    monkeypatch.setattr(gang, "agreed", lambda _: next(messages))
    gang.follow(None)
    assert next(messages, None) is None


def test_as_many_devices_are_used_as_share_the_problems_evenly() -> None:
    assert gang.usable(Recipe(problems=6, validation_problems=64), 4) == 2
    assert gang.usable(Recipe(problems=8, validation_problems=64), 4) == 4
    gang.check_devices(Recipe(problems=8), 4)


def test_devices_that_cannot_share_the_problems_are_told_how_many_can(sentence: Callable) -> None:
    assert sentence(gang.check_devices, Recipe(problems=6, validation_problems=64), 4) == (
        "problems is 6, which 4 devices cannot share evenly; try --problems 8, or 2 in place of 4"
    )
    assert sentence(gang.check_devices, Recipe(problems=3, validation_problems=64), 3) == (
        "validation-problems is 64, which 3 devices cannot share evenly; try "
        "--validation-problems 66, or 1 in place of 3"
    )


def test_one_process_takes_all_devices_of_a_machine(
    sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: None)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    seat = Seat("127.0.0.1:5", 2, 0)
    assert sentence(gang.seated(seat).__enter__) == (
        "--processes is 2, and one process takes all devices of this machine; leave it out"
    )


def test_where_nobody_listens_it_says_so(
    sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out\nand more")

    monkeypatch.setattr(jax.distributed, "initialize", refused)
    assert sentence(gang.seated(Seat("node1:5", 2, 1)).__enter__) == (
        "process 0 at node1:5 was not found (DEADLINE_EXCEEDED: Barrier timed out); check "
        "--coordinator, that every process was started, and that host names are not those of the "
        "loopback"
    )


def test_a_search_is_not_for_processes_that_train_together(metadescent: Callable) -> None:
    seat = ("--coordinator", "127.0.0.1:5", "--processes", "2", "--process-id", "0")
    status, _, said = metadescent("train", "quadratic", "--search", "2", *seat)
    assert (status, said.splitlines()[-1]) == (
        2,
        "metadescent: --search is 2, which --workers or --scheduler share out and not processes "
        "that train together; leave one of them out",
    )


def test_who_started_a_process_has_to_start_it_again(metadescent: Callable) -> None:
    seat = ("--coordinator", "127.0.0.1:5", "--processes", "2", "--process-id", "0")
    status, _, said = metadescent("train", "quadratic", "--restarts", "2", *seat)
    assert status == 2
    assert "--restarts is 2, and whoever started this process has to start it again" in said
