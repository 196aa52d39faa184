"""Runs the benchmarks: `python -m benchmarks [--quick] [--rows ...] [--peers ...] [--python NAME=PATH]`.

Every contestant has a process of its own and all share one model server. Each measurement is made in rounds: every
contestant once, in another order each time, and again; the table has the medians.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from typing import Any, NamedTuple

from benchmarks.report import markdown, plot, summary
from benchmarks.rows import LONG, MEASUREMENTS, TABLE, Measurement

ROOT = pathlib.Path(__file__).parent.parent
IMPORTS = {
    "agentrun": "from agentrun import Agent, Runner, function_tool",
    "bare-httpx": "import httpx",
    "openai-agents": "from agents import Agent, Runner, function_tool",
    "pydantic-ai": "from pydantic_ai import Agent",
    "langgraph": "from langgraph.prebuilt import create_react_agent; from langchain_openai import ChatOpenAI",
}
"""What a program of each contestant begins with; the first module named tells whether it is installed."""
PEERS = ("openai-agents", "pydantic-ai", "langgraph")


class Entry(NamedTuple):
    """A contestant on a backend."""

    name: str
    backend: str
    python: str
    root: pathlib.Path = ROOT
    """The tree that its modules come from."""
    note: str = ""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a module of the benchmarks in a process of its own."""
        return _start(self.python, self.root, *arguments)

    def finish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter to its end."""
        return subprocess.run(
            [self.python, *arguments], cwd=self.root, check=False, capture_output=True, text=True, env=_environment()
        )

    def warm(self) -> None:
        """Import what the contestant needs once, so that its modules are compiled and in the file cache."""
        code = f"{IMPORTS[self.name]}; from benchmarks.worker import make; make({self.name!r})"
        self.finish("-c", code)

    @property
    def label(self) -> str:
        """What the column is called."""
        name = f"{self.name}{self.note}"
        return name if self.backend == "asyncio" else f"{name} ({self.backend})"


def _environment() -> dict[str, str]:
    # All have compiled modules, whether installed or in a source tree, and write them outside of it.
    found = {**os.environ, "PYTHONPYCACHEPREFIX": str(pathlib.Path(tempfile.gettempdir()) / "agentrun-benchmarks")}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _start(python: str, root: pathlib.Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", *arguments],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if "--verbose" in sys.argv else subprocess.DEVNULL,
        text=True,
        env=_environment(),
    )


class Worker:
    """The process of a contestant."""

    def __init__(self, entry: Entry) -> None:
        self._process = entry.start("benchmarks.worker", entry.name, entry.backend)
        self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": "the process ended; --verbose shows why"}

    def measure(self, asked: dict[str, Any]) -> Any:
        """Return what the process answers."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def close(self) -> None:
        """End the process."""
        _end(self._process)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended by itself
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def measure_import(entry: Entry) -> Any:
    """Return the CPU time of the import, in a fresh process, and what it adds to the memory."""
    code = (
        "import resource as r, time as t; b=t.process_time(); m=r.getrusage(r.RUSAGE_SELF).ru_maxrss; "
        f"{IMPORTS[entry.name]}; "
        "print((t.process_time()-b)*1000, (r.getrusage(r.RUSAGE_SELF).ru_maxrss-m)/1024)"
    )
    done = entry.finish("-c", code)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    cpu, memory = done.stdout.split()
    return {"ok": {"cpu_ms": float(cpu), "rss_mb": float(memory)}}


def measure_cold(entry: Entry, server: str) -> Any:
    """Return the time from the start of a process to the first token."""
    began = time.monotonic_ns()
    done = entry.finish("-m", "benchmarks.cold", entry.name, entry.backend, server)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return {"ok": {"first_ms": (int(done.stdout) - began) / 1e6}}


class Bench:
    """Runs measurements and keeps their numbers: samples[measurement][label][value] is a list, one per round."""

    def __init__(self, entries: list[Entry], quick: bool) -> None:
        self.entries = entries
        for entry in entries:
            entry.warm()
        self.quick = quick
        self.samples: dict[str, dict[str, dict[str, list[float]]]] = {}
        self.failures: dict[str, dict[str, str]] = {}
        self._workers: dict[Entry, Worker] = {}
        self._server = _start(sys.executable, ROOT, "benchmarks.server")
        assert self._server.stdout is not None
        self.server = f"http://127.0.0.1:{self._server.stdout.readline().strip()}"

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.close()
        _end(self._server)

    def run(self, name: str) -> None:
        """Make one measurement."""
        measurement = MEASUREMENTS[name]
        rounds = measurement.quick_rounds if self.quick else measurement.rounds
        for number in range(rounds):
            order = self.entries[number % len(self.entries) :] + self.entries[: number % len(self.entries)]
            for entry in order:
                if entry.label in self.failures.get(name, {}):
                    continue
                began = time.monotonic()
                answer = self._measure(measurement, entry)
                took = time.monotonic() - began
                print(
                    f"{name} {number + 1}/{rounds} {entry.label}: {answer} ({took:.1f} s)", file=sys.stderr, flush=True
                )
                if "failed" in answer:
                    self.failures.setdefault(name, {})[entry.label] = answer["failed"]
                    continue
                kept = self.samples.setdefault(name, {}).setdefault(entry.label, {})
                for key, value in answer["ok"].items():
                    if isinstance(value, int | float):
                        kept.setdefault(key, []).append(value)

    def _measure(self, measurement: Measurement, entry: Entry) -> Any:
        if measurement.kind == "import":
            return measure_import(entry)
        if measurement.kind == "cold":
            return measure_cold(entry, self.server)
        asked = {"row": measurement.kind, **(measurement.quick if self.quick else measurement.full)}
        if measurement.serves:
            asked["server"] = self.server
        if "repeat" in asked and entry.name in PEERS:
            asked["repeat"] = max(1, asked["repeat"] // (10 if self.quick else 5))
        if measurement.fresh:
            worker = Worker(entry)
            try:
                return worker.measure(asked)
            finally:
                worker.close()
        if entry not in self._workers:
            self._workers[entry] = Worker(entry)
        return self._workers[entry].measure(asked)

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the median of each value over the rounds."""
        return {
            name: {
                label: {key: statistics.median(found) for key, found in values.items()} for label, values in by.items()
            }
            for name, by in self.samples.items()
        }


def _is_installed(name: str, python: str) -> bool:
    module = IMPORTS[name].split()[1].split(".")[0]
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], cwd="/", check=False, capture_output=True).returncode == 0


def entries_for(peers: list[str], pythons: dict[str, str], backends: list[str]) -> list[Entry]:
    """Return who takes part: agentrun and the bare loop on each backend, and the peers that are installed."""
    found = [
        Entry(name, backend, pythons.get(name, sys.executable))
        for name in ("agentrun", "bare-httpx")
        for backend in backends
    ]
    for name in peers:
        python = pythons.get(name, sys.executable)
        if _is_installed(name, python):
            found.append(Entry(name, "asyncio", python))
        else:
            print(f"{name} is not installed for {python}: left out (--python {name}=PATH)", file=sys.stderr)
    return found


def pythons_from(pairs: list[str]) -> dict[str, str]:
    """Return the interpreters of contestants, given as NAME=PATH.

    Raises:
        ValueError: one of `pairs` names no contestant, or no program.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if name not in IMPORTS or not path:
            raise ValueError(f"{pair!r} is no interpreter of a contestant; give NAME=PATH, NAME one of {[*IMPORTS]}")
        if shutil.which(path) is None:
            raise ValueError(f"{pair!r}: there is no program at {path!r} that can be run")
        found[name] = path
    return found


def tree_of(commit: str, place: pathlib.Path) -> pathlib.Path:
    """Return a directory in `place` that holds agentrun as of `commit`, and these benchmarks.

    Raises:
        ValueError: there is no such commit here.
    """
    packed = subprocess.run(["git", "archive", commit, "agentrun"], cwd=ROOT, check=False, capture_output=True)
    if packed.returncode:
        raise ValueError(f"no agentrun as of {commit!r}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(place, filter="data")
    shutil.copytree(ROOT / "benchmarks", place / "benchmarks", ignore=shutil.ignore_patterns("results", "__pycache__"))
    return place


def main() -> None:
    """Parse the command line, measure, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few rounds of short measurements: half a minute, and as much for each peer",
    )
    parser.add_argument("--rows", nargs="+", choices=list(MEASUREMENTS), metavar="ROW", help=", ".join(MEASUREMENTS))
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=list(PEERS), help="who is measured beside agentrun"
    )
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="interpreter of a contestant"
    )
    parser.add_argument("--backends", nargs="+", default=["asyncio", "trio"], choices=["asyncio", "trio"])
    parser.add_argument("--against", metavar="COMMIT", help="measure agentrun as of that commit too")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--verbose", action="store_true", help="show what contestants write to standard error")
    given = parser.parse_args()
    backends = [one for one in given.backends if one != "trio" or importlib.util.find_spec("trio")]
    with contextlib.ExitStack() as stack:
        try:
            given.output.mkdir(parents=True, exist_ok=True)
            pythons = pythons_from([*os.environ.get("BENCH_PYTHONS", "").split(), *given.python])
            place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentrun-against-")))
            root = tree_of(given.against, place) if given.against else ROOT
        except (ValueError, OSError) as exc:
            parser.error(str(exc))
        entries = entries_for(given.peers, pythons, backends)
        if given.against:
            entries += [
                one._replace(root=root, note=f" at {given.against}") for one in entries if one.name == "agentrun"
            ]
        bench = stack.enter_context(contextlib.closing(Bench(entries, given.quick)))
        measure(bench, given)


def measure(bench: Bench, given: argparse.Namespace) -> None:
    """Make the measurements that were asked for; what is there is written after each, so that none is lost."""
    names = given.rows or [name for name in MEASUREMENTS if not given.quick or name not in LONG]
    about = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "quick": given.quick,
    }
    labels = [entry.label for entry in bench.entries]
    table = ""
    for name in names:
        bench.run(name)
        table = markdown(TABLE, bench.samples, labels, bench.failures)
        found = {"about": about, "medians": bench.medians(), "samples": bench.samples, "failures": bench.failures}
        (given.output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        (given.output / "results.md").write_text(table)
    print(table)
    print(summary(TABLE, bench.samples))
    plot(TABLE, bench.samples, labels, given.output / "results.png")


if __name__ == "__main__":
    main()
