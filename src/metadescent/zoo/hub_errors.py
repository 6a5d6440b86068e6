"""Reasons why the Hub did not do what was asked, each in one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metadescent.zoo.hub_names import HubName

LONGEST_REASON = 200
LOG_IN = "log in by hf auth login, or with $HF_TOKEN"


def why(hub: Any, endpoint: str, name: HubName, error: Exception, writes: bool) -> str:
    """Return what an error of `huggingface_hub` means for a name, and what to try."""
    # The library wraps errors of its HTTP library, once or twice.
    chain = [*_causes(error)]
    for cause in chain:
        if getattr(cause, "response", None) is not None:
            return _refused(hub, endpoint, name, cause, writes)
    # The HTTP library's own exception, which depends on the version.
    transport = hub.errors.HfHubHTTPError.__bases__[0]
    for cause in chain:
        if _is_of_disk(cause):
            return (
                f"cannot keep {name} in {hub.constants.HF_HUB_CACHE}: {cause.strerror}; make room "
                "there, or name another folder with $HF_HOME"
            )
        if isinstance(cause, transport | OSError):
            return _unreached(hub, endpoint, name, chain, writes)
    return (
        f"huggingface_hub cannot do this for {name}, {type(error).__name__}: {_reason(error)}; "
        "--debug shows where"
    )


def _refused(hub: Any, endpoint: str, name: HubName, error: Any, writes: bool) -> str:
    """Return what the Hub's answer means."""
    kinds, status = hub.errors, error.response.status_code
    token = hub.get_token() is not None
    if isinstance(error, kinds.GatedRepoError):
        return f"{name} is given to those who ask: ask at {endpoint}/{name.repo}, and {LOG_IN}"
    # Without a token the Hub does not say whether a repository exists.
    hidden = status == 401 and not (token or writes)
    if hidden or isinstance(error, kinds.RepositoryNotFoundError):
        return (
            f"there is no {name.repo} on {endpoint}, or it is private and "
            + ("this token may not read it; check the name and the token" if token else "")
            + ("" if token else f"there is no token; check the name, or {LOG_IN}")
        )
    if isinstance(error, kinds.RevisionNotFoundError):
        return (
            f"{name.repo} has no revision {name.revision or 'main'!r}; try one of "
            f"{endpoint}/{name.repo}/commits/main"
        )
    if isinstance(error, kinds.EntryNotFoundError):
        return (
            f"{name} holds no {name.file}; try hf://{name.repo}/FILE.safetensors with a file of "
            f"{endpoint}/{name.repo}/tree/{name.revision or 'main'}"
        )
    if status == 401:
        what = "does not know this token" if token else "asks for a token"
        return f"{endpoint} {what} for {name}; {LOG_IN}"
    said = f"{status}, {_reason(error)}"
    if status == 403:
        right, user = "write" if writes else "read", name.repo.partition("/")[0]
        return f"{endpoint} refuses {name} ({said}); try a token that may {right} what {user} has"
    return f"{endpoint} does not serve {name} ({said}); try again later"


def _unreached(hub: Any, endpoint: str, name: HubName, chain: list[Any], writes: bool) -> str:
    """Return that the Hub was not reached, and what works without a network."""
    offline = any(isinstance(cause, hub.errors.OfflineModeIsEnabled) for cause in chain)
    reason = "HF_HUB_OFFLINE is set" if offline else _reason(chain[-1])
    kept = [] if writes or name.is_pinned else [*_in_cache(hub, name)]
    advice = (
        f"the cache has {kept[0]}, which needs no network" if kept else "try again with a network"
    )
    return f"cannot reach {endpoint} for {name} ({reason}); {advice}"


def _in_cache(hub: Any, name: HubName) -> Iterator[HubName]:
    """Yield a name with each commit that is in the cache, the one fetched last first."""
    folder = f"models--{name.repo.replace('/', '--')}"
    snapshots = Path(hub.constants.HF_HUB_CACHE) / folder / "snapshots"
    for place in sorted(snapshots.glob("*"), key=lambda path: -path.stat().st_mtime):
        if (place / name.file).is_file():
            yield name._replace(revision=place.name)


def _is_of_disk(error: Any) -> bool:
    network = isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, OSError) and error.errno is not None and not network


def _causes(error: BaseException | None) -> Iterator[Any]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: Any) -> str:
    text = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:LONGEST_REASON].strip(" .")
