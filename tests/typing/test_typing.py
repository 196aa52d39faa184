"""The files beside this one say what type checkers infer; mypy and pyright have to agree, also about the README."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))


def check(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def readme_block(heading: str) -> str:
    section = (ROOT / "README.md").read_text().split(f"### {heading}\n")[1]
    return section.split("```python\n")[1].split("```")[0]


def strict_project(folder: Path) -> Path:
    """Write the README's block to `folder`, with settings for pyright; return the file."""
    file = folder / "streaming.py"
    file.write_text(readme_block("Stream"))
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_mypy_infers_what_the_file_says(file: Path) -> None:
    pytest.importorskip("mypy")
    check("mypy", str(file))


@pytest.mark.slow
def test_pyright_infers_what_the_files_say() -> None:
    pytest.importorskip("pyright")
    check("pyright", "--pythonpath", sys.executable, *map(str, FILES))


@pytest.mark.slow
def test_mypy_passes_the_streaming_example_of_the_readme(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    check("mypy", str(strict_project(tmp_path)))


@pytest.mark.slow
def test_pyright_passes_the_streaming_example_of_the_readme(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    strict_project(tmp_path)
    check("pyright", "--pythonpath", sys.executable, "--project", str(tmp_path))
