# SPDX-License-Identifier: MIT
"""Writes each example as a notebook into notebooks/: `python examples/notebooks.py`."""

from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "notebooks"


def scripts():
    """The examples, as paths."""
    return sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)


def notebook_text(script):
    """The notebook of a script, without outputs; the same text for the same script."""
    import jupytext

    notebook = jupytext.read(script)
    if notebook.cells[0].cell_type == "raw" or "SPDX" in notebook.cells[0].source:
        del notebook.cells[0]
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return jupytext.writes(notebook, fmt="ipynb") + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for script in scripts():
        target = FOLDER / f"{script.stem}.ipynb"
        target.write_text(notebook_text(script), encoding="utf-8")
        print(target)
