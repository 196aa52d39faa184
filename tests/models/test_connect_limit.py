"""`Timeouts.connect` of a run reaches the models that make connections."""

from __future__ import annotations

import socket

import anyio
import pytest

from agentrun import (
    Agent,
    ModelRetrySettings,
    ModelSettings,
    ModelTimeoutError,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    Timeouts,
)


@pytest.mark.real_clock
async def test_a_host_that_swallows_packets_runs_into_the_connect_limit_of_the_run() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))  # fills the backlog, so that the next connection gets no answer
        model = OpenAIResponsesModel("m", base_url=f"http://127.0.0.1:{port}", api_key="k")
        settings = ModelSettings(retry=ModelRetrySettings(max_retries=0))
        config = RunConfig(timeouts=Timeouts(connect=0.2))
        with anyio.fail_after(5), pytest.raises(ModelTimeoutError) as caught:
            await Runner.run(Agent("a", model=model, model_settings=settings), "hi", run_config=config)
        for one in waiting:
            one.close()
    assert (caught.value.limit, caught.value.timeout_seconds) == ("connect", 0.2)
    assert caught.value.run_data is not None
