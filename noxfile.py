"""The project's checks: `nox` runs those of `.ci/run` and more; `nox -s lint` runs one.

Sessions: tests, typing, lint, docs, changes, bench. Plain pip and virtualenv are enough.
"""

from __future__ import annotations

import pathlib
import re
import subprocess

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "typing", "tests", "docs", "changes"]
nox.options.error_on_missing_interpreters = False

ROOT = pathlib.Path(__file__).parent
KINDS = ("feature", "bugfix", "breaking", "deprecated", "doc", "misc")

# Off everywhere: 114 (would want every function with task_status= listed), and the optional 900 and 910 to 913, of
# which the run package takes 900 below. Not 910 and 911: a hook that nobody set and an event that fits into the buffer
# cost no checkpoint, on purpose; what has to see a cancel checks for it by name.
ASYNC_OFF = "ASYNC114,ASYNC900,ASYNC910,ASYNC911,ASYNC912,ASYNC913"
# Tests nest nurseries, write async functions without await, and do to cancellation, cleanup and groups what users do,
# on purpose: 102, 103, 110, 119 and 401 warn of just that.
ASYNC_OFF_TESTS = f"{ASYNC_OFF},ASYNC102,ASYNC103,ASYNC110,ASYNC112,ASYNC116,ASYNC119,ASYNC124,ASYNC127,ASYNC401"
# ASYNC127 says: httpx is not maintained, use httpx2. httpx is the declared dependency, because it is what users pass
# in, and httpx2 clients are taken alike. _http/clients.py alone uses it; others name its types or hand it on.
ASYNC_OFF_HTTP = f"{ASYNC_OFF},ASYNC127"
HTTP_MODULES = ("clients.py", "connections.py", "endpoint.py", "_openai.py", "providers.py")


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """All tests with branch coverage."""
    session.install(".[test]", "coverage[toml]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def typing(session: nox.Session) -> None:
    """Type checks: mypy strict, pyright strict, and the completeness of the public types."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "agentrun", "--ignoreexternal")


@nox.session
def lint(session: nox.Session) -> None:
    """Style by ruff and its formatter; flake8-async knows cancellation rules that ruff does not."""
    session.install("ruff>=0.17", "flake8-async>=26.8")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")

    def flake8_async(*options: str, files: list[pathlib.Path]) -> None:
        if files:
            session.run("flake8-async", "--anyio", *options, *(str(path.relative_to(ROOT)) for path in files))

    library = sorted((ROOT / "agentrun").rglob("*.py"))
    http = [path for path in library if path.name in HTTP_MODULES]
    flake8_async("--enable=ASYNC", f"--disable={ASYNC_OFF}", files=[path for path in library if path not in http])
    flake8_async("--enable=ASYNC", f"--disable={ASYNC_OFF_HTTP}", files=http)
    flake8_async("--enable=ASYNC", f"--disable={ASYNC_OFF_TESTS}", files=sorted((ROOT / "tests").rglob("*.py")))
    flake8_async("--enable=ASYNC900", files=[path for path in library if path.parent.name == "_run"])


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning is an error."""
    session.install(".[docs,trio]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The table of benchmarks/README.md; `-- --against main` has a column for another commit too."""
    session.install(".[test]", "matplotlib")
    session.run("python", "-m", "benchmarks.micro", "--check")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=False)
def changes(session: nox.Session) -> None:
    """A change of agentrun/ against main (or the branch given) comes with a fragment in docs/changes/."""
    against = session.posargs[0] if session.posargs else "main"

    def git(*arguments: str) -> list[str]:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
            "\n"
        )

    base = git("merge-base", "HEAD", against)[0]
    changed = {line for line in git("diff", "--name-only", base) if line}
    untracked = {line for line in git("ls-files", "--others", "--exclude-standard") if line}
    # On the branch itself nothing tells which fragment belongs to the change: any that is not yet released will do.
    there = changed | untracked if base != git("rev-parse", "HEAD")[0] else set(git("ls-files", "-co", "docs/changes"))
    fragments = {path for path in there if re.fullmatch(r"docs/changes/[^/]+\.md", path)}
    fragments.discard("docs/changes/README.md")
    for path in sorted(fragments):
        if not re.fullmatch(rf"docs/changes/\d+\.({'|'.join(KINDS)})\.md", path):
            session.error(f"{path!r} is not <issue>.<kind>.md with a kind of {', '.join(KINDS)}")
    touched = sorted(path for path in changed | untracked if path.startswith("agentrun/"))
    if touched and not fragments:
        session.error(f"{len(touched)} files of agentrun/ differ from {against}; add docs/changes/<issue>.<kind>.md")
    session.log(f"{len(touched)} files changed, {len(fragments)} fragments")
