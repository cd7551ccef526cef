"""The imports of every module against the layer table of the package's docstring."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import demo_curriculum

PACKAGE = Path(demo_curriculum.__file__).parent
LAYERS = {name: int(layer) for name, layer in re.findall(r"^(\w+) +L(\d) ", demo_curriculum.__doc__ or "", re.M)}
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in LAYERS]
MOST_LINES = 450


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a module imports anywhere in it, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("demo_curriculum.")}
    return found & set(LAYERS)


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if LAYERS[importer] == LAYERS[imported] == 1:
        return False
    return LAYERS[imported] <= LAYERS[importer]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_the_table_names_every_room():
    assert set(LAYERS.values()) == {0, 1, 2, 3, 4}
    tops = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert tops - {"__init__", "__main__"} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_imports_a_higher_layer(path):
    wrong = {imported for imported in imported_rooms(path) if not allowed(room(path), imported)}
    assert not wrong, f"{name(path)} imports {wrong}"


def test_the_rules_would_refuse_what_they_should():
    assert not allowed("store", "simulators")
    assert not allowed("demo", "store")
    assert not allowed("envs", "training")
    assert allowed("training", "progress")
    assert allowed("envs", "simulators")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name)
def test_modules_stay_readable(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    ("lonely", "banned"),
    [
        ("store", {"torch", "gymnasium"}),
        ("simulators", {"torch", "h5py"}),
        ("curriculum", {"torch", "h5py", "gymnasium", "ale_py"}),
        ("envs", {"torch", "h5py"}),
    ],
)
def test_light_rooms_load_without_heavy_libraries(lonely, banned):
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if room(path) == lonely
    ]
    code = f"import sys, {', '.join(modules)}\nprint(*{banned!r} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
