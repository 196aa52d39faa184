"""The loggers, and what they may say of what models and tools are given and give back.

`agentrun` is the logger of everything, `agentrun.tracing` that of traces. Nobody sees their debug records until the
program configures logging or calls `enable_verbose_stdout_logging`.

Source: configuration, "Debug logging" and "Sensitive data in logs".
"""

from __future__ import annotations

import logging
import os
import sys
import threading

__all__ = [
    "dont_log_model_data",
    "dont_log_tool_data",
    "enable_verbose_stdout_logging",
    "log_model_data",
    "log_tool_data",
    "traceback_of",
]

log: logging.Logger = logging.getLogger("agentrun")

_PREFIXES = ("AGENTRUN_", "OPENAI_AGENTS_")
"""The variables' own names, then those that programs have set already for the SDK they come from."""

_handler_lock = threading.Lock()


class _StdoutHandler(logging.Handler):
    """Writes to what `sys.stdout` is at the time, so that a redirected or captured stdout gets the records.

    A program without one, as those of windows are, has them on `sys.stderr`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            out = sys.stdout or sys.stderr
            out.write(self.format(record) + "\n")
            out.flush()
        except Exception:  # noqa: BLE001 - as every handler: a record that cannot be written never fails the program
            self.handleError(record)


def enable_verbose_stdout_logging() -> None:
    """Write everything that agentrun logs to the standard output, debug records too.

    May be called again without effect. What models and tools are given and give back is left out unless
    `AGENTRUN_DONT_LOG_MODEL_DATA` or `AGENTRUN_DONT_LOG_TOOL_DATA` is set to 0.

    Source: configuration, "Debug logging".
    """
    with _handler_lock:
        log.setLevel(logging.DEBUG)
        if not any(isinstance(handler, _StdoutHandler) for handler in log.handlers):
            log.addHandler(_StdoutHandler())


def dont_log_model_data() -> bool:
    """Return whether models' inputs and outputs are kept out of the log: yes, unless the environment says 0 or false.

    `AGENTRUN_DONT_LOG_MODEL_DATA` is asked first, then `OPENAI_AGENTS_DONT_LOG_MODEL_DATA`.
    """
    return _is_set("DONT_LOG_MODEL_DATA")


def dont_log_tool_data() -> bool:
    """Return whether tools' arguments and outputs are kept out of the log: yes, unless the environment says 0 or false.

    `AGENTRUN_DONT_LOG_TOOL_DATA` is asked first, then `OPENAI_AGENTS_DONT_LOG_TOOL_DATA`.
    """
    return _is_set("DONT_LOG_TOOL_DATA")


def traceback_of(exc: Exception, *, tool_data: bool = False, model_data: bool = False) -> Exception | None:
    """Return the `exc_info` of a record about `exc`: None where the environment forbids what a traceback may quote."""
    hidden = (tool_data and dont_log_tool_data()) or (model_data and dont_log_model_data())
    return None if hidden else exc


def _is_set(name: str) -> bool:
    for prefix in _PREFIXES:
        value = os.environ.get(prefix + name)
        if value is not None:
            return value.strip().lower() not in {"0", "false", "no", "off"}
    return True


def log_model_data(what: str, name: str, data: object) -> None:
    """Log, for debugging, that `what` happened in the agent `name`; with `data` where the environment allows it."""
    if log.isEnabledFor(logging.DEBUG):
        if dont_log_model_data():
            log.debug("agent %r: %s", name, what)
        else:
            log.debug("agent %r: %s: %s", name, what, data)


def log_tool_data(what: str, name: str, data: object) -> None:
    """Log, for debugging, that `what` happened to the tool `name`; with `data` where the environment allows it."""
    if log.isEnabledFor(logging.DEBUG):
        if dont_log_tool_data():
            log.debug("tool %r: %s", name, what)
        else:
            log.debug("tool %r: %s: %s", name, what, data)
