"""What deploy/slim.py takes out of an image, and that what is left still loads."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "slim.py"


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slim", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tests_and_sources_go_and_code_and_data_stay(slim: ModuleType, tmp_path: Path) -> None:
    kept = ["a/__init__.py", "a/data.csv", "a/testing/__init__.py", "a/py.typed", "a/tests.py"]
    gone = ["a/tests/__init__.py", "a/b/tests/deep/x.py", "a/SelfTest/y.bin", "a/x.pyi", "a/x.h"]
    for name in kept + gone:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")

    less = slim.main(tmp_path)

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)
    assert less == 10 * len(gone)


@pytest.mark.skipif(sys.platform != "linux", reason="images are of Linux")
@pytest.mark.parametrize("package", ["asyncpg", "numpy", "PIL", "aiohttp", "pydantic_core"])
def test_extension_modules_load_and_work_without_what_no_loader_reads(
    slim: ModuleType, package: str, tmp_path: Path
) -> None:
    # given: a package as it is installed, with the libraries beside it
    installed = Path(next(iter(importlib.util.find_spec(package).submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    for one in (installed, *installed.parent.glob(f"{package}.libs"), *_libs_of(installed)):
        shutil.copytree(one, tmp_path / one.name, dirs_exist_ok=True)

    # when
    less = slim.main(tmp_path)

    # then: it is loaded from there, all of its extension modules too
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import importlib, pathlib, {package} as loaded\n"
        f"root = pathlib.Path({str(tmp_path)!r})\n"
        "assert pathlib.Path(loaded.__file__).is_relative_to(root)\n"
        f"for path in sorted((root / {package!r}).rglob('*.so')):\n"
        "    name = '.'.join(path.relative_to(root).parts)\n"
        "    if 'tests' not in name and 'imagingtk' not in name:\n"
        "        importlib.import_module(name.split('.cpython')[0].split('.abi3')[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert less > 0


def test_what_is_no_library_of_these_machines_stays_as_it_is(slim: ModuleType) -> None:
    for other in (b"", b"MZ\x90", b"\x7fELF\x01\x01" + bytes(60)):
        assert slim.loadable(other) == other


def _libs_of(installed: Path) -> list[Path]:
    """The folder in which a wheel keeps libraries of its own, under whatever name."""
    named = {"PIL": "pillow.libs"}.get(installed.name, "")
    found = installed.parent / named
    return [found] if named and found.is_dir() else []
