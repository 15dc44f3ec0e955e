"""The notebook that a newcomer runs first: it runs, and shows what it says that it shows."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


@pytest.mark.slow  # .ci/run runs it
def test_the_notebook_runs_and_shows_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # what git holds is the text alone
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [
        {kind for output in cell.outputs for kind in output.get("data", {})}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    assert [kinds & {"text/html", "image/png"} for kinds in shown] == [
        *[{"text/html"}] * 3,
        {"image/png"},
        *({"text/html"} for _ in shown[4:]),
    ]
    written = "".join(
        str(output) for cell in notebook.cells for output in cell.get("outputs", []) if "error" not in output
    )
    assert "clean accuracy" in written
    assert "stderr" not in {
        output.get("name") for cell in notebook.cells for output in cell.get("outputs", [])
    }
