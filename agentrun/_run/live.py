"""A streamed run as its consumer holds it: started by whoever owns the nursery, read over one memory object stream."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from agentrun._detached import start_root_task
from agentrun._run.desk import ApprovalDesk
from agentrun._run.driver import drive
from agentrun._run.scope import CancelMode, RunScope
from agentrun._run.sink import StreamSink

if TYPE_CHECKING:
    from agentrun._events import StreamEvent
    from agentrun._run.context import Run
    from agentrun._state import RunState

log = logging.getLogger("agentrun")

JOIN_SECONDS = 30.0
"""How long a cancelled reader waits for its run to end; protects it from a tool that never ends."""


class LiveRun:
    """One streamed run: its scopes, its events, its one outcome.

    The outcome is stored and not raised where the run is hosted, so that a failure inside never cancels the code that
    reads: `next_event` raises it after what was sent before it.
    """

    def __init__(self, run: Run, scope: RunScope, sink: StreamSink) -> None:
        self._run: Run | None = run
        """Let go of when the run has ended: the state is all that is left of it."""
        self.state: RunState[Any] = run.state
        """The state of the run, as it is written."""
        self._scope = scope
        self._sink = sink
        self.desk: ApprovalDesk = run.desk if run.desk is not None else ApprovalDesk()
        run.desk = self.desk
        self.is_complete: bool = False
        """Whether the run has ended, in whatever way."""
        self._end: anyio.Event | None = None  # made for whoever waits for it
        self._error: BaseException | None = None
        self._reader: int | None = None
        self.started: bool = False
        """Whether somebody hosts the run, or it was cancelled before anybody did."""
        self.delivered: bool = False
        """Whether the error, if there is one, was raised to somebody."""
        self.alone: Callable[[Callable[[], None]], None] | None = None
        """Set once the run is hosted by a root task: has its loop call a function, from any thread."""

    @property
    def error(self) -> BaseException | None:
        """What the run failed with."""
        return self._error

    @property
    def is_fatal(self) -> bool:
        """Whether the run failed with something that is to end the program, such as KeyboardInterrupt."""
        return self._error is not None and not isinstance(self._error, Exception)

    @property
    def current_agent(self) -> Any:
        """The agent that works, or worked last."""
        return self.state.current_agent

    async def host(self) -> None:
        """Run to the end, in the nursery of whoever calls. Closes the send side of the events.

        Raises:
            BaseException: a cancellation from outside, KeyboardInterrupt, SystemExit; nothing else.
        """
        self.started = True
        run, self._run = self._run, None
        assert run is not None, "a run is hosted once"
        try:
            with self._scope.hard:
                await drive(run)
        except Exception as exc:  # noqa: BLE001 - kept for the reader, who gets it in its own type
            self._error = exc
        except BaseException as exc:
            if not isinstance(exc, anyio.get_cancelled_exc_class()):
                self._error = exc
                self.delivered = True  # it leaves through the nursery
            elif anyio.current_effective_deadline() != -math.inf:
                self._error = exc  # nobody cancelled the run: a hook or a model raised it, and the reader gets it
            raise
        finally:
            self._close()

    def _close(self) -> None:
        """Tell everybody that the run has ended."""
        self.desk.close()
        self._sink.close()
        self.is_complete = True
        if self._end is not None:
            self._end.set()

    async def _wait_end(self) -> None:
        if self.is_complete:
            await anyio.lowlevel.checkpoint()
            return
        self._end = self._end or anyio.Event()
        await self._end.wait()

    def cancel(self, mode: CancelMode = "immediate", *, within: float | None = None) -> None:
        """Stop the run; see `RunResultStreaming.cancel`."""
        if mode == "immediate":  # also when the run has ended: its reader wants no more of it
            self._sink.consumer.cut = True
            self._sink.consumer.leave()
        if self.is_complete:
            return
        self._scope.cancel(mode, within=within)
        if mode == "immediate" and not self.started:
            self.started = True
            self._close()

    def note_reader(self) -> None:
        """Note that the current task reads the events."""
        self._reader = anyio.get_current_task().id

    async def next_event(self) -> StreamEvent | None:
        """Return the next event, or None after the last; whatever the run started has ended by then.

        Raises:
            BaseException: what the run failed with, once, after the events that were sent before it.
        """
        if not self.started:
            self._start_alone()
        consumer = self._sink.consumer
        await anyio.lowlevel.checkpoint_if_cancelled()  # a cancelled reader gets no buffered event
        try:
            event = consumer.receive_nowait()
            return event if event is not None else await consumer.receive()
        except anyio.EndOfStream:
            pass
        if not self.is_complete:
            await self._wait_end()
        consumer.close()
        self._raise_error()
        return None

    async def wait(self) -> None:
        """Wait for the end of the run, whether or not somebody reads its events.

        Raises:
            BaseException: what the run failed with.
        """
        if not self.started:
            self._start_alone()
        if not self.is_complete and self._reader in (None, anyio.get_current_task().id):
            # Nobody else reads, and an unread stream would hold the run up.
            await self._sink.consumer.drain()
        await self._wait_end()
        if self._error is not None:
            self.delivered = True
            raise self._error

    def _start_alone(self) -> None:
        """Have a root task host the run: nobody gave it a nursery."""
        self.started = True
        self.alone = start_root_task(self._host_alone, "agentrun run")

    async def _host_alone(self) -> None:
        """Host the run where nobody is to get what it raises, but its reader."""
        try:
            await self.host()
        except anyio.get_cancelled_exc_class():
            self._sink.consumer.close()  # the event loop ends, most likely, and whoever was to read with it
            raise
        except BaseException as exc:  # noqa: BLE001 - kept for the reader: a root task has nobody to raise it to
            self._error = exc
            self.delivered = False

    def _raise_error(self) -> None:
        if self._error is not None and not self.delivered and not self._sink.consumer.cut:
            self.delivered = True
            raise self._error

    async def join(self) -> None:
        """Cancel the run and wait for its end, also from a cancelled task."""
        self.leave()
        again: BaseException | None = None
        with anyio.move_on_after(JOIN_SECONDS, shield=True) as patience:
            while not self.is_complete:
                try:
                    await self._wait_end()
                except anyio.get_cancelled_exc_class() as exc:  # noqa: ASYNC103 - kept, and raised below
                    if patience.cancel_called:
                        raise
                    again = exc  # a second `Task.cancel()` of asyncio, which no shield keeps out
        if patience.cancelled_caught:
            log.warning("a cancelled run did not end within %s s; one of its tools does not stop", JOIN_SECONDS)
        self._sink.consumer.close()
        if again is not None:
            try:
                raise again
            finally:
                del again  # or this frame and the traceback would keep each other

    def close(self) -> None:
        """Drop the events that nobody read: the block that owned the run has ended, and the run with it."""
        self._sink.consumer.cut = True
        self._sink.consumer.close()

    def leave(self) -> None:
        """Cancel the run because its reader is gone; what it failed with before that stays to be raised."""
        if not self.is_complete:
            self.cancel()
