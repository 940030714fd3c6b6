# SPDX-License-Identifier: MIT
"""The package as a whole: names, stubs, style."""

import ast
import builtins
import importlib.metadata
import importlib.resources
import importlib.util
import os
import pickle
import re
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import micrograd_c
from micrograd_c import _core

ROOT = Path(__file__).parent.parent
CLANG_FORMAT = Path(sysconfig.get_path("scripts"), "clang-format")
in_source_tree = pytest.mark.skipif(
    not (ROOT / "src" / "python" / "stub.py").exists(), reason="needs the source tree"
)


def run(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def test_star_import_hides_no_builtin():
    namespace = {}
    exec("from micrograd_c import *", namespace)
    assert not {name for name in namespace if not name.startswith("__")} & set(vars(builtins))
    assert namespace["Value"] is micrograd_c.engine.Value


def test_everything_in_all_exists():
    for module in (micrograd_c, micrograd_c.engine):
        assert all(hasattr(module, name) for name in module.__all__)
        assert "sum" not in module.__all__ and callable(module.sum)


def test_the_version_is_the_distributions():
    assert micrograd_c.__version__ == importlib.metadata.version("micrograd_c")


def test_the_package_needs_nothing_at_run_time():
    code = "import sys; before = set(sys.modules); import micrograd_c, micrograd_c.nn; " + (
        "print(*{m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    loaded = set(run("-c", code).stdout.split())
    ours = {name for name in loaded if not name.startswith(("__editable__", "_cython", "cython_"))}
    assert ours == {"micrograd_c"}


# What takes longer to load than the engine itself, and what is for those alone who ask for it.
LATER = {"typing", "re", "inspect", "ast", "dataclasses", "json", "random", "numpy", "matplotlib"}
LATER |= {f"micrograd_c.{name}" for name in ("compiled", "nn", "optim", "losses", "transforms")}


@pytest.mark.parametrize("line", ["import micrograd_c", "from micrograd_c import Value"])
def test_the_import_loads_the_engine_alone(line):
    code = f"import sys; before = set(sys.modules); {line}; print(*set(sys.modules) - before)"
    loaded = set(run("-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}").stdout.split())
    assert "micrograd_c._core" in loaded and not loaded & LATER


def test_every_name_is_the_same_however_it_is_asked_for():
    """As checkers of types see it, and with no module in a function's place."""
    tree = ast.parse(Path(micrograd_c.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    for line in checked.body:
        for alias in line.names:
            name, home = alias.asname or alias.name, line.module
            expected = importlib.import_module(f"micrograd_c.{home or name}")
            assert getattr(micrograd_c, name) is (getattr(expected, name) if home else expected)
            assert name in dir(micrograd_c)
    with pytest.raises(AttributeError, match="'micrograd_c' has no attribute 'nothing'"):
        _ = micrograd_c.nothing


@pytest.mark.skipif(sys.platform != "linux", reason="looks for ELF's names of sections")
def test_the_core_carries_no_debug_symbols():
    core = Path(_core.__file__).read_bytes()
    if b"__asan_init" in core or os.environ.get("MICROGRAD_C_DEBUG"):
        pytest.skip("a build for debugging")
    assert core.startswith(b"\x7fELF") and b".text" in core
    assert b".debug_info" not in core and b".symtab" not in core


def test_the_benchmarks_stand_in_one_folder_with_their_data():
    benchmarks = importlib.import_module("micrograd_c.benchmarks")
    data = importlib.resources.files("micrograd_c.benchmarks") / "data" / "thousand_names.txt"
    assert len(data.read_text().split()) == 1000
    assert Path(benchmarks.__file__).parent == Path(benchmarks.__path__[0])


@in_source_tree
def test_documented_installs_of_the_source_tree_are_editable():
    """A plain `pip install .` after the README's first command would put a copy in its place."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "docs" / "conf.py"]:
        commands = re.findall(r"pip install (.*)", page.read_text(encoding="utf-8"))
        assert not [line for line in commands if re.match(r'"?\.', line)], page


@pytest.fixture(scope="module")
def for_the_index():
    """setup.py's function of that name, without a build."""
    setuptools, build = pytest.importorskip("setuptools"), pytest.importorskip("Cython.Build")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **options: None)
        patch.setattr(build, "cythonize", lambda *modules, **options: [])
        return runpy.run_path(str(ROOT / "setup.py"))["for_the_index"]


RELATIVE = re.compile(r"\]\((?!https?:)[^)]*\)|(?:src|href)=\"(?!https?:)")


def without_code(markdown):
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", markdown, flags=re.M | re.S)


@in_source_tree
def test_the_description_for_the_index_has_no_relative_link():
    pytest.importorskip("Cython")
    process = run("setup.py", "--long-description")
    assert process.returncode == 0, process.stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert RELATIVE.search(without_code(readme))
    assert len(process.stdout) > len(readme) / 2
    assert not RELATIVE.search(without_code(process.stdout))


@in_source_tree
def test_links_lead_to_the_repository_where_that_is_known(for_the_index):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = for_the_index(readme, "https://example.org/us/it")
    assert not RELATIVE.search(without_code(shown))
    assert "](https://example.org/us/it/blob/HEAD/docs/scan.md)" in shown
    assert "](https://example.org/us/it/raw/HEAD/docs/pictures/greeks.png)" in shown
    code = re.findall(r"^```.*?^```$", readme, re.M | re.S)
    assert code == re.findall(r"^```.*?^```$", shown, re.M | re.S)


@in_source_tree
@pytest.mark.parametrize(
    ("text", "without", "there"),
    [
        ("[a](b.md)", "a", "[a](S/blob/HEAD/b.md)"),
        ("![a](b.png)", "", "![a](S/raw/HEAD/b.png)"),
        ("[`a`](b.md#c), `x[0](y)`", "`a`, `x[0](y)`", "[`a`](S/blob/HEAD/b.md#c), `x[0](y)`"),
        ("[a](#b)", "a", "a"),
        ("[a](https://b.c)", "[a](https://b.c)", "[a](https://b.c)"),
        ("```python\nx[0](y)\n```", "```python\nx[0](y)\n```", "```python\nx[0](y)\n```"),
    ],
)
def test_links_for_the_index(for_the_index, text, without, there):
    assert for_the_index(text, None) == without
    assert for_the_index(text, "S") == there


def test_value_says_where_it_is_from():
    Value = micrograd_c.Value
    assert (Value.__module__, Value.__qualname__) == ("micrograd_c.engine", "Value")
    assert Value.__doc__.startswith("A number")
    methods = [row["name"] for row in _core.operations() if row["is_method"]]
    assert all(getattr(Value, name).__doc__ for name in methods)


def test_every_public_function_has_a_docstring():
    for name in micrograd_c.__all__:
        thing = getattr(micrograd_c, name)
        assert thing.__doc__, name


@in_source_tree
def test_the_stub_has_the_methods_of_the_operation_table():
    process = run(ROOT / "src" / "python" / "stub.py", "--check")
    assert process.returncode == 0, process.stderr


@in_source_tree
def test_the_stub_is_what_the_module_is(tmp_path):
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed"
    # Attributes of one's own are found without a __getattr__, until there are some. What __new__
    # ignores is what the class shows as its signature; a subclass's may be another.
    allowed.write_text(r"micrograd_c\._core\.Value\.__(getattr|new)__")
    process = run("-m", "mypy.stubtest", "micrograd_c._core", "--allowlist", allowed)
    assert process.returncode == 0, process.stdout + process.stderr


def public_names(stub):
    names = (getattr(node, "name", None) or getattr(node, "target", None) for node in stub.body)
    return {getattr(name, "id", name) for name in names} - {None}


@in_source_tree
def test_the_stub_names_what_the_units_give():
    """Stubtest leaves out classes of other modules, which the core's units are."""
    stub = ast.parse((ROOT / "micrograd_c" / "_core.pyi").read_text(encoding="utf-8"))
    names = {name for name in public_names(stub) if not name.startswith("_")}
    assert names == {name for name in vars(_core) if not name.startswith("_")}


def test_all_units_stand_in_one_shared_object():
    units = [
        module for name, module in sys.modules.items() if name.startswith("micrograd_c._core.")
    ]
    assert len(units) > 10
    assert {module.__file__ for module in units} == {_core.__file__}


@pytest.mark.parametrize("name", ["where", "record", "TraceError", "TapeStats"])
def test_names_of_the_core_are_pickled_as_its_own(name):
    """A pickle says where something is: units may be cut otherwise one day."""
    thing = getattr(_core, name)
    assert thing.__module__ == "micrograd_c._core" and pickle.loads(pickle.dumps(thing)) is thing


def test_a_unit_can_be_imported_first():
    code = "import importlib; print(importlib.import_module('micrograd_c._core.record').__name__)"
    process = run("-c", code)
    assert process.stdout == "micrograd_c._core.record\n", process.stderr


@in_source_tree
@pytest.mark.skipif(not importlib.util.find_spec("ruff"), reason="needs ruff")
@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_style(command):
    process = run("-m", "ruff", *command, ".")
    assert process.returncode == 0, process.stdout + process.stderr


@in_source_tree
def test_types(tmp_path):
    for package in ("mypy", "numpy", "matplotlib"):
        pytest.importorskip(package)
    process = run("-m", "mypy", "--cache-dir", tmp_path, "micrograd_c")
    assert process.returncode == 0, process.stdout + process.stderr


@in_source_tree
@pytest.mark.skipif(not CLANG_FORMAT.exists(), reason="needs the clang-format of the test extra")
def test_style_of_c():
    folders = [ROOT / name for name in ("src", "tests", "benchmarks")]
    files = [path for folder in folders for path in folder.rglob("*.[ch]")]
    command = [CLANG_FORMAT, "--dry-run", "--Werror", *files]
    process = subprocess.run(command, capture_output=True, text=True)
    assert len(files) > 100 and process.returncode == 0, process.stderr


@in_source_tree
def test_no_file_outgrows_one_sitting():
    for folder in ("src", "micrograd_c", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyx", ".pxd", ".c", ".h"}:
                lines = path.read_text(encoding="utf-8").count("\n")
                assert lines <= 550, f"{path} has {lines} lines"
