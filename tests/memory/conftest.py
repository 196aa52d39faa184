"""Real servers for the session tests: those named by the environment, or private ones that the tests start.

AGENTRUN_TEST_REDIS and AGENTRUN_TEST_POSTGRES hold a URL, or "absent: reason" where there is none. Without a server its
tests are skipped and say why; where the variable CI is set that is a failure.
AGENTRUN_TEST_LARGE=1 makes the tests with processes as large as the release wants them.
"""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVICES = Path(__file__).parents[2] / ".ci" / "services"
NAMES = ("AGENTRUN_TEST_REDIS", "AGENTRUN_TEST_POSTGRES")


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, str]]:
    """What is known about the servers, by the name of the variable."""
    given = {name: os.environ[name] for name in NAMES if os.environ.get(name)}
    if len(given) == len(NAMES) or not SERVICES.exists() or os.environ.get("CI"):
        yield given
        return
    # Not below pytest's own directory, whose parents are closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="agentrun-services-") as where:
        started = subprocess.run([SERVICES, "start", where], check=True, capture_output=True, text=True, timeout=50)
        try:
            yield {**dict(line.split("=", 1) for line in started.stdout.splitlines()), **given}
        finally:
            subprocess.run([SERVICES, "stop", where], check=True, capture_output=True, timeout=50)


def url_of(services: dict[str, str], name: str) -> str:
    """Return where a server is. Without one the test is skipped, and says why; in CI it fails."""
    url = services.get(name, f"absent: {name} is not set and .ci/services is not there")
    if url.startswith("absent:"):
        if os.environ.get("CI"):
            pytest.fail(f"{url}; in CI these tests must run, see .ci/services", pytrace=False)
        pytest.skip(url)
    return url


@pytest.fixture
def redis_url(services: dict[str, str]) -> Iterator[str]:
    yield url_of(services, "AGENTRUN_TEST_REDIS")
    # coredis 6.9 drops the streams of a connection without closing them. They are collected here, under the warning
    # filter of the test that used them, rather than in some later test; what is finalized first may hold others.
    for _ in range(3):
        gc.collect()


@pytest.fixture(scope="session")
def postgres_url(services: dict[str, str]) -> str:
    return url_of(services, "AGENTRUN_TEST_POSTGRES")


@pytest.fixture
def postgres_pool(postgres_url: str) -> Generator[Any, None, None]:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    with psycopg_pool.ConnectionPool(postgres_url, min_size=0, max_size=6, open=True) as pool:
        yield pool


@pytest.fixture
def large() -> bool:
    return os.environ.get("AGENTRUN_TEST_LARGE") == "1"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@pytest.fixture
def numbered() -> Callable[[object, int], list[dict[str, Any]]]:
    """Make a batch of items that says which it is and how many there are."""

    def make(mark: object, size: int) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": f"{mark}:{number}", "mark": str(mark), "of": size} for number in range(size)
        ]

    return make
