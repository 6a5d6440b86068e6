"""Settings for every test; nothing here may import metadescent, before jaxtyping's hook does.

Environment variables rather than JAX's own configuration, so that tests which start a process of
their own hand them on, and so that tests without JAX stay without it.
"""

import ctypes
import functools
import gc
import html
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# A program, which `test_bad_input.py` starts, and a server, which the fixture `hub` starts.
collect_ignore = ["bad_input.py", "hub_server.py"]

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
# Small programs too: the other worker, child processes and the next run compile none of them again.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Tests compile much and compute little: XLA's passes over machine code cost more than they save.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
os.environ.setdefault("XLA_FLAGS", QUICK_TO_COMPILE)

MOST_BYTES = 1_500_000_000
"""What a worker holds, at the end of a module, before it forgets programs."""
CPU_SECONDS = float(os.environ.get("METADESCENT_TEST_CPU_SECONDS", "3"))
"""The most that a test may take which is not marked slow; machines differ."""
TOLERANCE = 2.0
"""Times that: what cold caches, a busy or a slower machine add to a test that is within it."""

# The first example of a property compiles it, so neither its time nor the data's says anything.
settings.register_profile(
    "metadescent",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("metadescent")


def pytest_configure(config):
    """Leave the examples in `metadescent.torch` out where torch is not installed."""
    if find_spec("torch") is None:
        bridge = ROOT / "src" / "metadescent" / "torch"
        config.option.ignore = [*(config.option.ignore or []), str(bridge)]


def _cpu_seconds():
    """Return the processor time of this process, all of its threads, and children that ended."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


@functools.cache
def _import_all():
    """Import what most tests do; with shapes checked it is compiled anew, by no test's fault."""
    from metadescent import cli, registry
    from metadescent.cli import training

    return cli.commands(), training, registry.problems(), registry.optimizers()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a test that takes long and is not marked so: the ordinary lane stays short."""
    _import_all()
    begin = _cpu_seconds()
    result = yield
    seconds = _cpu_seconds() - begin
    if seconds > TOLERANCE * CPU_SECONDS and not item.get_closest_marker("slow"):
        pytest.fail(
            f"it took {seconds:.1f} s of processor time and {CPU_SECONDS:g} are the most; make it "
            "smaller or mark it slow",
            pytrace=False,
        )
    return result


@pytest.fixture(scope="session", autouse=True)
def _kernels():
    """Build the C++ kernels once, before a test gives the cache folder another place."""
    from metadescent._ffi import kernels

    kernels()


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Forget compiled programs before they are too many for the system.

    Each of them maps a hundred regions of memory or more, and past the 65,530 that Linux allows a
    process the next one to be compiled or loaded crashes it. They are what a worker's memory grows
    by, too; read from the cache on disk, they are soon there again.
    """
    yield
    status, maps = Path("/proc/self/statm"), Path("/proc/self/maps")
    if not status.exists():
        return
    resident = int(status.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > MOST_BYTES or len(maps.read_bytes().splitlines()) > 20_000:
        import jax

        jax.clear_caches()
        gc.collect()
        # What the C library keeps of it goes back to the system.
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def sentence():
    """Return the sentence of the UserError that a call raises; any other outcome is a failure."""
    from metadescent._errors import UserError

    def of(call, *args, **kwargs):
        with pytest.raises(UserError) as caught:
            call(*args, **kwargs)
        return str(caught.value)

    return of


def in_numbers(leaf):
    """Return a key as its numbers, and anything else as it is."""
    import jax

    is_key = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


@pytest.fixture(scope="session")
def assert_close():
    """Check that two pytrees have one structure, and leaves that agree."""
    import jax
    import numpy as np

    def check(actual, expected, *, rtol=1e-5, atol=1e-6):
        assert jax.tree.structure(actual) == jax.tree.structure(expected)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
        ):
            name = jax.tree_util.keystr(path)
            a, b = map(in_numbers, (a, b))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)

    return check


@pytest.fixture(scope="session")
def assert_same_bits():
    """Check that two pytrees have one structure, and leaves of one dtype, shape and bit pattern."""
    import jax
    import numpy as np

    def bits(leaf):
        array = np.asarray(in_numbers(leaf))
        return array.dtype, array.shape, array.tobytes()

    def check(actual, expected):
        assert jax.tree.structure(actual) == jax.tree.structure(expected)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
        ):
            assert bits(a) == bits(b), f"{jax.tree_util.keystr(path)}: {a} is not {b}"

    return check


@pytest.fixture
def in_32_bits():
    """Have JAX in its 32 bits in this process, for a test of what does not fit into them."""
    import jax

    with jax.enable_x64(False):
        yield


@pytest.fixture
def metadescent(tmp_path, monkeypatch, capsys):
    """Run the command line in a folder of its own; return (exit status, output, errors)."""
    import signal

    import pooch

    from metadescent.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    on_sigterm = signal.getsignal(signal.SIGTERM)

    def run(*words):
        status = 0
        try:
            main(list(words))
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    yield run
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture(scope="session")
def _served_hub(tmp_path_factory):
    """Start a Hub on this machine, and have `huggingface_hub` imported with its address."""
    import importlib
    import sys

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests"))
        server = importlib.import_module("hub_server")
        with server.served() as (handler, address):
            for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
                patch.delenv(name)
            patch.setenv("HF_ENDPOINT", address)
            patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
            patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
            # What xet sends is read by the Hub's own servers alone.
            patch.setenv("HF_HUB_DISABLE_XET", "1")
            for name in [name for name in sys.modules if name.startswith("huggingface_hub")]:
                patch.delitem(sys.modules, name)
            # Those of `push`, with which no test is charged.
            for name in ("huggingface_hub.hf_api", "metadescent.torch.optimizer"):
                with suppress(ImportError):
                    importlib.import_module(name)
            yield server, handler, address


@pytest.fixture
def hub(_served_hub, tmp_path, monkeypatch):
    """A Hub with nothing in it, an empty cache in `tmp_path` and the token of ada."""
    from huggingface_hub import constants

    server, handler, address = _served_hub
    monkeypatch.setattr(handler, "hub", server.Hub(address), raising=False)
    monkeypatch.setenv("HF_TOKEN", server.TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    return handler.hub


@pytest.fixture
def offline(hub):
    """Return what does as HF_HUB_OFFLINE does, from when it is called on."""
    from huggingface_hub import constants, utils

    # Older versions look at it once a session.
    renew = getattr(utils, "reset_sessions", lambda: None)

    with pytest.MonkeyPatch.context() as patch:

        def begin():
            patch.setattr(constants, "HF_HUB_OFFLINE", True)
            renew()

        yield begin
    renew()


CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)
# A window has 500 pixels at least, and a frame within it has as many as it is given.
FRAME = """<!doctype html>
<iframe src="{place}" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", ({data}) => { document.title = data; });</script>"""
ASK = """<script>
addEventListener("load", () => {
  const images = [...document.images];
  parent.postMessage(JSON.stringify({
    fits: document.documentElement.scrollWidth <= innerWidth,
    images: images.length > 0 && images.every(x => x.complete && x.naturalWidth > 0),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    width: innerWidth,
    heading: document.querySelector("h1")?.textContent,
  }), "*");
});
</script></body>"""


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """Open a page in a browser; return how it is laid out, and what the console said."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        pytest.skip("no Chromium is installed: the page was checked without a browser only")
    folder = tmp_path_factory.mktemp("browser")
    profile = f"--user-data-dir={folder / 'profile'}"

    def of(path, width=390, *, dark=False):
        page, frame = folder / "page.html", folder / "frame.html"
        page.write_text(path.read_text(encoding="utf-8").replace("</body>", ASK), encoding="utf-8")
        text = FRAME.replace("{place}", page.name).replace("{width}", str(width))
        frame.write_text(text, encoding="utf-8")
        words = [browser, *QUIET, profile, f"--blink-settings=preferredColorScheme={1 - dark}"]
        words += [f"--window-size={width + 100},1000", "--dump-dom", frame.as_uri()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        title = re.search("<title>(.*)</title>", done.stdout)
        seen = json.loads(html.unescape(title[1])) if title else {}
        return seen, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    yield of
    shutil.rmtree(folder, ignore_errors=True)
