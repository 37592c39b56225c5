"""Logs: JSON lines for services, readable ones for terminals, and no patient data in either."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import AbstractContextManager
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dicomcore.errors import Fact
from dicomio.withhold import WITHHELD, safe_exception, safe_facts, safe_name

LEVELS = ("debug", "info", "warning", "error", "critical")
_NUMBERS = {level: getattr(logging, level.upper()) for level in LEVELS}

# Their texts quote data sets: "Invalid value for VR PN: …", "Received … with identifier …".
_QUOTING = ("pydicom", "pynetdicom", "py.warnings")


def configure(service: str, level: str = "info", *, json: bool, uncaught: bool = True) -> None:
    """Send every log line of this process to standard error; call once, first thing in `main`.

    Lines of dependencies (standard-library logging, Python warnings) come out from `warning` up,
    through the same filter.

    Parameters
    ----------
    service
        Named in every line.
    level
        The lowest level of our own that comes out, one of `LEVELS`.
    json
        One JSON object a line; otherwise for a person at a terminal.
    uncaught
        Report exceptions that nobody caught, in any thread, through the filter too: Python's own
        report prints their text.

    Raises
    ------
    ValueError
        Not a level.
    """
    if level not in _NUMBERS:
        raise ValueError(f"not a log level; choose one of {', '.join(LEVELS)}")
    structlog.configure(
        processors=_processors(service, json=json),
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        logger_factory=_StandardError,
        cache_logger_on_first_use=False,
    )
    _adopt_standard_logging()
    if uncaught:
        sys.excepthook = _report_uncaught
        threading.excepthook = _report_uncaught_in_thread
        sys.unraisablehook = _report_uncaught_in_cleanup


def set_level(level: str) -> None:
    """Set the lowest level of our own that comes out from now on; the rest stays as configured.

    Raises
    ------
    ValueError
        Not a level.
    """
    if level not in _NUMBERS:
        raise ValueError(f"not a log level; choose one of {', '.join(LEVELS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]))


def bound(**facts: Fact) -> AbstractContextManager[None]:
    """Add facts to every line inside a `with` block, in this thread or task and what it starts.

    At an edge, once: `association` and `calling_ae`, `request_id`, or `event_id`.
    """
    return structlog.contextvars.bound_contextvars(**facts)


def _processors(service: str, *, json: bool) -> list[Processor]:
    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    ours: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        withhold,
        structlog.processors.add_log_level,
    ]
    if json:
        return [
            *ours,
            name_service,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    return [
        *ours,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _exception_as_text,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def withhold(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what may be patient data; a structlog processor, before anything that renders.

    The event name must be a constant name, facts are judged by key, type and value, and of an
    exception only what `dicomio.withhold` trusts is kept: types, places, our own sentences.
    """
    error = _exception_of(event.pop("exc_info", None))
    event.pop("stack_info", None)
    # Foreign records carry a template, which is source text; see `_Adopted`.
    text = event.pop("_template", None)
    facts: EventDict = {"event": safe_name(event.pop("event", ""))}
    facts.update(safe_facts(event))
    if text is not None:
        facts["text"] = text
    if error is not None:
        facts["exception"] = safe_exception(error)
    return facts


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _exception_as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    chain = event.get("exception")
    if isinstance(chain, list):
        lines = []
        for link in chain:
            lines.append(f"{link['type']}: {link['text']}")
            lines += [f"  at {place}" for place in link["at"]]
        event["exception"] = "\n".join(lines)
    return event


class _StandardError:
    """Writes whole lines to whatever standard error is at the moment."""

    _lock = threading.Lock()

    def __init__(self, *_names: str) -> None:
        """Structlog hands over the logger's name, which is not used."""

    def msg(self, line: str) -> None:
        with self._lock:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Adopted(logging.Handler):
    """Takes the records of dependencies over into structlog.

    Only the template of a message is kept, without its arguments: these may be anything. A text
    without arguments may have been formatted before it was logged, so it is withheld too. Logger,
    module and line stay, and lead whoever investigates to the sentence.
    """

    def emit(self, record: logging.LogRecord) -> None:
        quoting = record.name.partition(".")[0] in _QUOTING or record.name in _QUOTING
        template = record.msg if isinstance(record.msg, str) and record.args else None
        facts: dict[str, object] = {
            "_template": WITHHELD if quoting or template is None else template,
            "logger": record.name,
            "where": f"{record.module}:{record.lineno}",
        }
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, "dependency_reported", **facts)


def _adopt_standard_logging() -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        # ours from before, and whatever basicConfig made: it would print what we withhold
        if isinstance(handler, _Adopted) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.addHandler(_Adopted())
    root.setLevel(logging.WARNING)
    for name in _QUOTING:
        quoting = logging.getLogger(name)
        quoting.setLevel(logging.WARNING)
        quoting.handlers.clear()
        quoting.propagate = True
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a failing handler would print the record's arguments


def _report_uncaught(
    kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=error)


def _report_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        structlog.get_logger().critical("uncaught_exception_in_thread", exc_info=args.exc_value)


def _report_uncaught_in_cleanup(args: sys.UnraisableHookArgs) -> None:
    structlog.get_logger().error("uncaught_exception_in_cleanup", exc_info=args.exc_value)
