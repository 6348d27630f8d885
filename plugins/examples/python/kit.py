"""What the contract's types leave to each connector: answers as JSON or as failures, and shapes with little in them."""

import functools
import json
import sys
from contextlib import contextmanager

from componentize_py_types import Err
from wit_world.imports import blobs, http, log
from wit_world.imports.types import (Change_Upsert, Content_Sections, Document, Failure, Fault, Next_CompleteExhaustive,
                                     Next_More, Page, Provenance, Section)

FAULTS = {401: Fault.AUTH_INVALID, 403: Fault.PERMISSION, 404: Fault.NOT_FOUND, 410: Fault.NOT_FOUND,
          408: Fault.TRANSIENT, 425: Fault.TRANSIENT, 429: Fault.RATE_LIMITED}


def failure(fault: Fault, code: str, message: str, **more) -> Err:
    """To be raised: one sentence for the administrator, saying what to do."""
    return Err(Failure(fault, code, message, **{"retry_after_ms": None, "config_pointer": None, "http_status": None} | more))


def answering(method):
    """A defect becomes a failure that says what and where. There is no terminal that a traceback could go to."""
    @functools.wraps(method)
    def wrapper(*arguments):
        try:
            return method(*arguments)
        except Err:
            raise
        except Exception as error:
            place = error.__traceback__
            while place.tb_next:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}"
            raise failure(Fault.INTERNAL, "defect", f"{type(error).__name__} at {where}: {error}; report it to the author")
    return wrapper


def get_json(url: str, shape: type, credential: str | None = None, max_bytes: int = 32 << 20):
    """The answer as JSON, when it is one and a `shape`. Else, a failure of the right kind is raised."""
    authorized = credential and http.Credential(credential, http.Inject_Authorization(), [])
    answer = http.send(http.Request(http.Method.GET, url, [], None, authorized, [], max_bytes))
    place = answer.url.split("?")[0]
    body = b""
    while len(body) < answer.size_bytes:
        body += blobs.read(answer.body, len(body), 1 << 20)
    if not 200 <= answer.status < 300:
        fault = FAULTS.get(answer.status, Fault.TRANSIENT if answer.status >= 500 else Fault.SOURCE_CONTRACT)
        wait = dict(answer.headers).get("retry-after", "")
        raise failure(fault, f"http_{answer.status}", f"{place} answered {answer.status}: {body[:300].decode(errors='replace')}",
                      http_status=answer.status, retry_after_ms=int(wait) * 1000 if wait.isdecimal() else None)
    try:
        value = json.loads(body)
    except ValueError as error:
        raise failure(Fault.SOURCE_CONTRACT, "unexpected_json", f"{place} did not answer JSON: {error}")
    if not isinstance(value, shape):
        raise failure(Fault.SOURCE_CONTRACT, "unexpected_json", f"{place} answered JSON of another shape")
    return value


@contextmanager
def shape(what: str):
    """In this block, what is missing or of another kind is the source's fault, and said so."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise failure(Fault.SOURCE_CONTRACT, "unexpected_json", f"the source answered with {what} of another shape: {error!r}")


def text(plain: str) -> Content_Sections:
    return Content_Sections([Section([], plain, None)])


def document(external_id: str, kind: str, content, *, title="", url=None, fingerprint=None) -> Change_Upsert:
    provenance = Provenance(url, None, None, None, None, None, [], [], None)
    return Change_Upsert(Document(external_id, title, kind, None, content, [], provenance, fingerprint, None))


def more(changes: list, cursor: str) -> Page:
    """A page after which the host asks again with this cursor."""
    return Page(changes, cursor, Next_More(), None)


def exhaustive(changes: list) -> Page:
    """The last page of a run that named everything: what was not named is deleted."""
    return Page(changes, None, Next_CompleteExhaustive(), None)


class _Log:
    """What `print` writes goes into the run's log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.log(log.Level.INFO, text.rstrip(), [])
        return len(text)

    def flush(self) -> None:
        pass


sys.stdout = sys.stderr = _Log()
