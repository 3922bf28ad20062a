"""Uploads a finished data set to the Hugging Face Hub with ``huggingface_hub``'s own client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from builder.dataset.read import pair_files
from builder.dataset.write import CARD_NAME
from builder.errors import Interrupted, OperationFailed, UsageError

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds to wait for a connection, and for an answer; the client's own default is for ever.
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 10.0, 60.0

_SHARD_PATTERNS = ("data/train-*.parquet", "rejections/rejections-*.parquet")
_HIDDEN = (".*", "**/.*")
_TOKENS_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Pushed:
    """What was uploaded.

    Attributes:
        repo: ``OWNER/NAME``.
        url: page of the data set.
        commit: identifier of the commit that holds it.
        pairs: number of pairs in it.
        created: whether this call made the repository.
    """

    repo: str
    url: str
    commit: str
    pairs: int
    created: bool


def push(folder: Path, repo: str, *, private: bool = False) -> Pushed:
    """Uploads a folder that a build wrote, as one commit; hidden files stay here.

    Shards of an earlier upload that are no part of this one are deleted in the same commit.  A
    repository that this call made is deleted again if the upload does not succeed.

    Args:
        folder: the data set.
        repo: ``OWNER/NAME``.
        private: whether a new repository is private.  An existing one must be private already.

    Raises:
        UsageError: the folder is no finished data set, or it has no pairs.
        OperationFailed: the name, the token, the network or the Hub stands in the way.
        Interrupted: Ctrl-C during the upload.
    """
    pairs = count_pairs(folder)
    _check_name(repo)
    hub = _Hub(repo, _token())
    created = hub.create(private=private)
    try:
        commit = hub.upload(folder, f"Upload {pairs} pairs")
    except BaseException as error:
        remains = hub.delete() if created else ""
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted, nothing was uploaded to {repo}{remains}") from None
        if isinstance(error, OperationFailed):
            raise OperationFailed(f"{error}{remains}") from None
        raise
    return Pushed(repo, commit.repo_url.rstrip("/"), commit.oid, pairs, created)


def count_pairs(folder: Path) -> int:
    """Number of pairs of a finished data set.

    Raises:
        UsageError: the folder is no finished data set, or it has no pairs.
    """
    files = pair_files(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; give the folder that the build wrote")
    if not (folder / CARD_NAME).is_file():
        raise UsageError(f"{folder} has no {CARD_NAME}; run the same build command again first")
    try:
        pairs = sum(pq.read_metadata(file).num_rows for file in files)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds a damaged shard ({error}); build it again") from error
    if not pairs:
        raise UsageError(f"{folder} has no pairs; nothing to upload")
    return pairs


def _check_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise OperationFailed(f"{str(error).rstrip('.')}; give OWNER/NAME") from None
    if repo.count("/") != 1:
        raise OperationFailed(f"{repo!r} names no owner; give OWNER/NAME")


def _token() -> str:
    """The token of the environment or the saved login; it is never part of a message."""
    try:
        token = huggingface_hub.get_token()
    except Exception as error:  # noqa: BLE001 - a login that cannot be read or refreshed
        raise OperationFailed(
            f"the saved login cannot be used ({type(error).__name__}); run `hf auth login` again"
        ) from None
    if not token:
        raise OperationFailed(
            f"no token; make one with write access at {_TOKENS_PAGE}, then set HF_TOKEN or run "
            "`hf auth login`"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise OperationFailed(
            f"the token has characters that no token has; copy it again from {_TOKENS_PAGE}"
        )
    return token


class _Hub:
    """One repository on the Hub; every failure is an ``OperationFailed`` that hides the token."""

    def __init__(self, repo: str, token: str) -> None:
        _bound_waiting()
        self._repo = repo
        self._token = token
        self._api = HfApi(token=token)

    def create(self, *, private: bool) -> bool:
        """Makes the repository; returns False if it existed."""
        try:
            self._api.create_repo(self._repo, repo_type="dataset", private=private or None)
        except Exception as error:  # noqa: BLE001 - the client raises of many kinds
            if not self._exists_after(error, private=private):
                raise self._failure(error) from None
            return False
        return True

    def upload(self, folder: Path, message: str) -> Any:
        """Uploads the folder; returns the client's description of the commit."""
        try:
            return self._api.upload_folder(
                folder_path=folder,
                repo_id=self._repo,
                repo_type="dataset",
                commit_message=message,
                ignore_patterns=list(_HIDDEN),
                delete_patterns=list(_SHARD_PATTERNS),
            )
        except Exception as error:  # noqa: BLE001 - the client raises of many kinds
            raise self._failure(error) from None

    def delete(self) -> str:
        """Deletes the repository; returns what to say if that failed."""
        try:
            self._api.delete_repo(self._repo, repo_type="dataset", missing_ok=True)
        except Exception:  # noqa: BLE001 - said to the user instead
            return f"; the empty repository {self._repo} remains, delete it on the Hub"
        return ""

    def _exists_after(self, error: Exception, *, private: bool) -> bool:
        """Whether a creation failed because the repository exists.

        The Hub says so with 409; a token that may write to one repository and create none gets
        401 or 403 instead.

        Raises:
            OperationFailed: it is public where a private one was asked for.
        """
        if _status(error) not in {401, 403, 409}:
            return False
        try:
            info = self._api.repo_info(self._repo, repo_type="dataset")
        except Exception:  # noqa: BLE001 - then the first error says more
            return False
        if private and not info.private:
            raise OperationFailed(
                f"{self._repo} exists and is public; make it private on the Hub, choose another "
                "name, or leave --private out"
            )
        return True

    def _failure(self, error: Exception) -> OperationFailed:
        text = _explain(error, self._repo, self._api.endpoint)
        return OperationFailed(text.replace(self._token, "<token>"))


def _explain(error: Exception, repo: str, endpoint: str) -> str:
    """One line that says what is wrong and what to do."""
    status, said = _status(error), _said(error)
    if status == 401:
        return f"the Hub does not accept the token; make another at {_TOKENS_PAGE} and set HF_TOKEN"
    if status == 403:
        return (
            f"the token may not write to {repo}{said}; use a token with write access to "
            f"{repo.partition('/')[0]}, or another OWNER"
        )
    if status == 404:
        return f"the Hub does not know {repo}{said}; check OWNER and the token's access"
    if status is not None and status < 500 and status != 429:
        return f"the Hub refuses {repo}{said}; choose another name or mend what it says"
    if status is not None:
        return f"the Hub cannot take it now (status {status}{said}); try again later"
    if _is_a(error, "OfflineModeIsEnabled"):
        return "the Hub's client is in offline mode; unset HF_HUB_OFFLINE and try again"
    if _is_a(error, "TransportError"):
        return f"no connection to {endpoint} ({_reason(error)}); check the network and try again"
    return f"the upload to {repo} failed ({_reason(error)}); try again"


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _status(error: Exception) -> int | None:
    """HTTP status of the Hub's answer, if it answered."""
    for link in _chain(error):
        if isinstance(link, HfHubHTTPError) and link.response is not None:
            return int(link.response.status_code)
    return None


def _said(error: Exception) -> str:
    """The Hub's own words in the form `` (words)``, or nothing."""
    for link in _chain(error):
        if isinstance(link, HfHubHTTPError) and link.server_message:
            return f" ({' '.join(link.server_message.split())[:300]})"
    return ""


def _reason(error: Exception) -> str:
    last = _chain(error)[0]
    return f"{type(last).__name__}: {' '.join(str(last).split())[:300]}"


def _is_a(error: Exception, name: str) -> bool:
    """Whether a class of that name is among the error's own, its causes' and their bases.

    By name, since the client's transport errors (base ``TransportError``, no answer came) are
    those of httpx or of its successor, by version.
    """
    classes = (base for link in _chain(error) for base in type(link).__mro__)
    return any(base.__name__ == name for base in classes)


def _bound_waiting() -> None:
    """Gives the client's sessions time limits; all else of them stays as the client made it."""
    session = huggingface_hub.get_session()
    timeout = (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S, ANSWER_TIMEOUT_S, ANSWER_TIMEOUT_S)
    kind, hooks = type(session), session.event_hooks
    huggingface_hub.set_client_factory(
        lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=timeout)
    )
