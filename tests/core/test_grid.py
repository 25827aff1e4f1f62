"""The benchmark's grid: what is finished is never done again, whatever happened in between."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.cli.benchmark import _cells
from edgead.errors import DatasetError, EngineError, ImageError, OptionError, OutputError
from edgead.evaluation.cell import Cell, Making, run_cell
from edgead.evaluation.grid import read_lines, run_grid
from edgead.evaluation.grid_table import names, table, verdict_table
from edgead.evaluation.table import TITLES
from edgead.progress import silent
from tests.bundles import bad_image, good_image, write_images

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def dataset(tmp_path):
    """A root with two categories in MVTec's layout."""
    for category in ("nut", "bolt"):
        root = tmp_path / "set" / category
        write_images(root / "train" / "good", [good_image(i) for i in range(8)])
        write_images(root / "test" / "good", [good_image(50 + i) for i in range(2)])
        write_images(root / "test" / "blob", [bad_image(i) for i in range(2)])
        for index in range(2):
            mask = np.zeros((120, 80), np.uint8)
            cv2.circle(mask, (40, 30 + 3 * index), 9, 255, -1)
            (root / "ground_truth" / "blob").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / "ground_truth" / "blob" / f"{index:03d}_mask.png"), mask)
    return tmp_path / "set"


def cells(dataset, *methods, seed=0):
    return [Cell(Making(m, seed=seed), str(dataset / c)) for c in ("nut", "bolt") for m in methods]


class Counting:
    """A run that notes what it was asked for."""

    def __init__(self, fail=()):
        self.seen, self.fail = [], fail

    def __call__(self, cell):
        self.seen.append((cell.making.method, cell.dataset.rsplit("/", 1)[1]))
        if self.seen[-1] in self.fail:
            raise EngineError("no luck")
        return {"result": {"image_auroc": 0.9, "pixel_auroc": None}}


def test_finished_cells_are_not_run_again_and_failed_ones_are(dataset, tmp_path):
    file, grid = tmp_path / "out" / "r.jsonl", cells(dataset, "a", "b")
    first = Counting(fail=[("b", "nut")])
    lines = run_grid(grid, file, first, 2, silent)
    assert sorted(first.seen) == [("a", "bolt"), ("a", "nut"), ("b", "bolt"), ("b", "nut")]
    assert [("error" in line) for line in lines] == [False, True, False, False]
    assert lines[1]["error"] == "no luck"
    second = Counting()
    again = run_grid(grid, file, second, 1, silent)
    assert second.seen == [("b", "nut")]
    assert all("result" in line for line in again) and again[0] == lines[0]
    third = Counting()
    run_grid([*grid, *cells(dataset, "a", seed=1)], file, third, 1, silent)
    assert third.seen == [("a", "nut"), ("a", "bolt")], "another seed is another cell"


def test_a_data_set_that_changed_is_another_cell(dataset, tmp_path):
    grid, run = cells(dataset, "a"), Counting()
    run_grid(grid, tmp_path / "r.jsonl", run, 1, silent)
    write_images(dataset / "nut" / "test" / "good", [good_image(70 + i) for i in range(3)])
    run_grid(grid, tmp_path / "r.jsonl", run, 1, silent)
    assert run.seen == [("a", "nut"), ("a", "bolt"), ("a", "nut")]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_cut_short_is_dropped_and_the_rest_is_kept(dataset, tmp_path, cut):
    file, grid, run = tmp_path / "r.jsonl", cells(dataset, "a"), Counting()
    run_grid(grid, file, run, 1, silent)
    file.write_bytes(file.read_bytes()[:-cut])
    assert len(read_lines(file)) == 1
    run_grid(grid, file, run, 1, silent)
    assert run.seen[2:] == [("a", "bolt")]
    assert [json.loads(line)["cell"]["dataset"] for line in file.read_text().splitlines()] == [
        str(dataset / "nut"),
        str(dataset / "bolt"),
    ]


@pytest.mark.parametrize("content", ["my notes", "my notes\n", '{"key": 1}\n', "[]\n"])
def test_another_file_is_left_alone(tmp_path, content):
    file = tmp_path / "notes.txt"
    file.write_text(content)
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        read_lines(file)
    assert file.read_text() == content


def test_results_that_cannot_be_written_say_so(dataset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputError, DatasetError), match="file"):
        run_grid(cells(dataset, "a"), tmp_path / "file" / "r.jsonl", Counting(), 1, silent)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    file, run = tmp_path / "r.jsonl", Counting()
    run_grid(cells(dataset, "a")[:1], file, run, 1, silent)
    kept = file.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(OutputError, match=r"r\.jsonl.*[Ss]pace"):
        patched.setattr(os, "fsync", full)
        run_grid(cells(dataset, "a"), file, run, 1, silent)
    assert file.read_bytes() == kept


def test_the_table_is_the_papers():
    def line(data, method, seed, image, pixel):
        cell = Cell(Making(method, seed=seed), f"/sets/{data}").record()
        return {"key": "", "cell": cell, "result": {"image_auroc": image, "pixel_auroc": pixel}}

    lines = [
        line("nut", "a", 0, 0.9, 0.8),
        line("nut", "a", 1, 0.8, 0.8),
        line("bolt", "a", 0, 1.0, None),
        line("nut", "b", 0, 0.5, 0.25),
        {"key": "", "cell": Cell(Making("b"), "/sets/bolt").record(), "error": "no"},
    ]
    header, rows = table(lines, ["image_auroc", "pixel_auroc"])
    assert header == ("data set", "a", "b")
    assert rows == [
        ("nut", "85.0±7.1 / 80.0±0.0", "50.0 / 25.0"),
        ("bolt", "100.0 / -", "failed"),
        ("mean", "92.5 / -", "- / -"),
    ]


def result(escapes: int, bad: int, alarms: int, good: int, **more):
    """What a result of every version has."""
    return {"escapes": escapes, "bad": bad, "false_alarms": alarms, "good": good, **more}


def test_the_verdicts_are_a_table_of_their_own_from_the_counts_of_any_version():
    def line(data, method, seed, **result):
        return {
            "key": "",
            "cell": Cell(Making(method, seed=seed), f"/sets/{data}").record(),
            "result": result,
        }

    lines = [
        line("nut", "a", 0, **result(1, 4, 0, 10, image_f1_max=1.0)),
        line("nut", "a", 1, **result(2, 4, 1, 10, image_f1_max=0.9)),
        line("bolt", "a", 0, **result(4, 4, 0, 0, image_f1_max=None)),
        line("nut", "b", 0, **result(0, 5, 0, 10, image_f1_max=1.0)),
        {"key": "", "cell": Cell(Making("b"), "/sets/bolt").record(), "error": "no"},
    ]
    header, rows = verdict_table(lines)
    assert header == (
        *(
            "data set",
            "method",
            "escapes",
            "false alarms",
            "image F1",
            "image F1-max",
            "lost to the threshold",
        ),
    )
    one, other = 2 * 3 / (2 * 3 + 1), 2 * 2 / (2 * 2 + 1 + 2)
    lost = (1.0, (0.9 - other) / (1 - other))

    def over_seeds(*values):
        return f"{100 * np.mean(values):.1f}±{100 * np.std(values, ddof=1):.1f}"

    assert rows == [
        ("nut", "a", over_seeds(0.25, 0.5), over_seeds(0, 0.1), over_seeds(one, other), over_seeds(1, 0.9),
         over_seeds(*lost)),
        ("nut", "b", "0.0", "0.0", "100.0", "100.0", "-"),
        ("bolt", "a", "100.0", "-", "-", "-", "-"),
        ("bolt", "b", "failed", "", "", "", ""),
        ("mean", "a", "68.8", "-", "-", "-", "-"),
        ("mean", "b", "-", "-", "-", "-", "-"),
    ]  # fmt: skip
    in_cells = table(lines, ["escapes", "false_alarms", "image_f1", "image_f1_max"])[1]
    assert in_cells[0][2] == "0.0 / 0.0 / 100.0 / 100.0", "as columns of the papers' table too"


def test_a_result_without_counts_has_no_verdicts_and_one_that_is_none_is_refused(tmp_path):
    old = {"key": "k", "cell": Cell(Making("a"), "/sets/nut").record(), "result": {"image_auroc": 0.9}}
    assert verdict_table([old])[1] == [("nut", "a", "-", "-", "-", "-", "-")]
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(old) + "\n" + json.dumps({**old, "result": [1]}) + "\n")
    with pytest.raises(DatasetError, match=r"r\.jsonl, line 2: not a benchmark's result; give another file"):
        read_lines(file)


def test_what_thresholds_lack_is_told_once_for_all_cells(dataset, tmp_path, monkeypatch, capsys):
    codes = (["threshold-too-high"], ["threshold-too-low", "alarms-over-stated", "mask-lossy"], [])

    def run_grid(cells, out, run, jobs, progress):
        told = [[{"code": code, "text": f"text of {code}"} for code in some] for some in codes]
        return [
            {"key": "", "cell": cell.record(), "result": result(0, 1, 0, 1, notices=notices)}
            for cell, notices in zip(cells, told, strict=True)
        ]

    monkeypatch.setattr("edgead.evaluation.grid.run_grid", run_grid)
    words = ["benchmark", "-m", "padim", "-d", str(dataset / "nut"), "--seeds", "0,1,2"]
    assert main([*words, "--metrics", "escapes"]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3 and "text of mask-lossy" in notes[0]
    assert "in 1 of 3 cells more false alarms were seen" in notes[1]
    assert "in 2 of 3 cells the threshold costs more than half of what F1 lacks" in notes[2]


def test_a_cell_survives_json_and_a_wrong_form_is_refused():
    cell = Cell(Making("a", size=(64, 96), weights="w"), "/d", "mvtec", "nut")
    assert Cell.from_record(json.loads(json.dumps(cell.record()))) == cell
    with pytest.raises(OptionError, match="int4"):
        Making("a", precision="int4")


METHOD = "patchcore:coreset_ratio=0.02"


def words(dataset, out):
    return ["benchmark", "-m", METHOD, "-d", str(dataset), "--size", "64x64", "--target", "onnx",
            "--draws", "20", "--out", str(out)]  # fmt: skip


def test_a_killed_benchmark_goes_on_where_it_stopped(dataset, tmp_path, capsys):
    """The whole command, killed with no chance to clean up once its first cell is in the file."""
    out = tmp_path / "r.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "edgead", *words(dataset, out)])
    deadline = time.monotonic() + 120
    while not (out.exists() and out.read_bytes().count(b"\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = out.read_bytes()
    assert before.count(b"\n") == 1, "it should have been killed between the first cell and the second"
    assert main(words(dataset, out)) == 0
    assert out.read_bytes().startswith(before) and out.read_bytes().count(b"\n") == 2
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["set/bolt", "set/nut", "mean"]
    modified = out.stat().st_mtime_ns
    assert main([*words(dataset, out), "--json"]) == 0
    assert out.stat().st_mtime_ns == modified
    lines = json.loads(capsys.readouterr().out)
    assert all(line["result"]["image_auroc"] > 0.5 and line["result"]["p50_ms"] > 0 for line in lines)


def test_methods_are_compared_on_one_data_set(dataset, capsys):
    options = ["--size", "64x64", "--target", "onnx", "--draws", "50"]
    names = [METHOD, METHOD + ",reweighting=0"]
    assert main(["compare", *names, "-d", str(dataset / "nut"), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["bundles"]] == names
    (against,) = found["against_first"]
    assert against["metrics"]["pixel_auroc"]["value"] == 0, "the option changes the image score alone"
    assert main(["compare", METHOD, METHOD, "-d", str(dataset / "nut"), *options]) == 0
    out = capsys.readouterr().out
    assert "+0.00" in out and "more than chance" not in out
    assert main(["compare", METHOD, "-d", str(dataset / "nut")]) == 2
    assert main(["benchmark", "-m", "patchcor", "-d", str(dataset)]) == 2
    assert "patchcore" in capsys.readouterr().err


def test_data_sets_of_one_name_are_two_rows_two_cells_and_two_names(dataset, tmp_path, capsys):
    for line in ("lineA", "lineB"):
        shutil.copytree(dataset / "nut", tmp_path / line / "product")
    folders = [str(tmp_path / line / "product") for line in ("lineA", "lineB")]
    same = f"{tmp_path}/lineA/../lineA/product"
    grid = _cells(["patchcore"], [*folders, same], None, [0], {"weights": None})
    assert [cell.dataset for cell in grid] == folders, "one given twice is one cell"
    assert len({cell.key() for cell in grid}) == 2

    def result(cell):
        return {"result": {"image_auroc": 0.9 if "lineA" in cell.dataset else 0.7}}

    lines = run_grid(grid, tmp_path / "r.jsonl", result, 1, silent)
    assert table(lines, ["image_auroc"])[1] == [
        ("lineA/product", "90.0"), ("lineB/product", "70.0"), ("mean", "80.0"),
    ]  # fmt: skip
    assert names(lines) == ["lineA/product", "lineB/product"]
    assert names(lines[:1]) == ["product"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that aren't text are Linux's")
def test_a_data_set_whose_name_is_not_text_can_be_benchmarked(dataset, tmp_path, capsys):
    odd = tmp_path / os.fsdecode(b"s\xe9t")
    shutil.copytree(dataset / "nut", odd)
    out = tmp_path / "r.jsonl"
    assert main(words(odd, out)) == 0
    assert capsys.readouterr().out.encode("utf-8").decode().splitlines()[1].startswith(r"s\xe9t")
    (line,) = [json.loads(text) for text in out.read_bytes().decode("utf-8").splitlines()]
    assert line["result"]["name"] == r"s\xe9t"
    assert main([*words(odd, out), "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out.encode("utf-8"))
    assert again["name"] == r"s\xe9t" and again["key"] == line["key"]
    assert again["result"]["escapes_interval"]
    assert "few-held-out" in [notice["code"] for notice in again["result"]["bundle_notices"]]


def test_a_bad_test_image_is_told_before_anything_is_fitted(dataset, monkeypatch):
    (dataset / "nut" / "test" / "blob" / "001.png").write_bytes(b"no image")
    monkeypatch.setattr("edgead.evaluation.cell.make_bundle", lambda *words: pytest.fail("it was fitted"))
    with pytest.raises(ImageError, match=r"blob/001\.png"):
        run_cell(Cell(Making("patchcore"), str(dataset / "nut")), 0, False, silent)


GRID = """
methods = ["patchcore:coreset_ratio=0.02", "padim"]
datasets = ["nut", "bolt"]
size = "64x96"
seeds = [0, 1]
target = ["onnx", "openvino"]
precision = ["fp32", "int8"]
final_fit = false
holdout = 0.3
metrics = ["image_auroc", "mib"]
draws = 0
"""


@pytest.fixture
def asked(monkeypatch):
    """The cells that a command would run; none is."""
    seen = []

    def run_grid(cells, out, run, jobs, progress):
        seen.append(cells)
        result = dict.fromkeys((*TITLES, "p50_ms", "fit_seconds", "cpu_ms"), 0.5) | {"bundle_bytes": 3 << 20}
        return [{"key": cell.key(), "cell": cell.record(), "result": result} for cell in cells]

    monkeypatch.setattr("edgead.evaluation.grid.run_grid", run_grid)
    return seen


def test_a_grid_file_is_the_command_line(dataset, tmp_path, asked, capsys):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    words = ["-m", "patchcore:coreset_ratio=0.02", "-m", "padim", "-d", "nut", "-d", "bolt",
             "--size", "64x96", "--seeds", "0,1", "--target", "onnx,openvino",
             "--precision", "fp32,int8", "--no-final-fit",
             "--holdout", "0.3", "--metrics", "image_auroc,mib", "--draws", "0"]  # fmt: skip
    assert main(["benchmark", "--grid", str(file), "--data", str(dataset)]) == 0
    from_file = capsys.readouterr().out
    assert main(["benchmark", *words, "--data", str(dataset)]) == 0
    assert from_file == capsys.readouterr().out
    assert asked[0] == asked[1] and len(asked[0]) == 2 * 2 * 2 * 2 * 2
    making = asked[0][-1].making
    assert making == Making("padim", size=(64, 96), seed=1, target="openvino", precision="int8",
                            holdout=0.3, final_fit=False)  # fmt: skip
    verdicts, metrics = (text.splitlines() for text in from_file.split("\n\n"))
    assert verdicts[1].split(maxsplit=1)[1].startswith("patchcore:coreset_ratio=0.02, onnx, fp32 ")
    header, first, *_ = metrics
    assert header.split("  ")[1].strip() == "patchcore:coreset_ratio=0.02, onnx, fp32"
    assert "50.0±0.0 / 3.0±0.0" in first
    assert "image_auroc in % / mib in MiB" in from_file


def test_the_command_line_comes_before_the_grid_file(dataset, tmp_path, asked, capsys):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    words = ["-m", "spade", "--seeds", "7", "--precision", "fp32", "--target", "onnx", "--final-fit"]
    assert main(["benchmark", *words, "--grid", str(file), "--data", str(dataset)]) == 0
    assert [cell.making.seed for cell in asked[0]] == [7, 7], "one for each data set"
    assert asked[0][0].making.final_fit is True and asked[0][0].making.method == "spade"
    assert capsys.readouterr().out.split("\n\n")[1].splitlines()[0].split() == ["data", "set", "spade"]


@pytest.mark.parametrize(
    "text, said",
    {
        "an unknown key": ('method = "a"', "key of a grid file.*'method'.*did you mean methods"),
        "an option of one call": ("jobs = 2", "key of a grid file.*'jobs'"),
        "no TOML": ("methods = [", "grid.toml: not TOML"),
        "a number for a list": ("methods = 3", 'methods must be a list of texts, \\["a", "b"\\]'),
        "a table": ("[size]\nheight = 3", "size must be a text"),
        "a list in a list": ("seeds = [[1]]", "seeds must be a text"),
        "a wrong value": ('methods = ["padim"]\ndatasets = ["nut"]\nsize = "wide"', "size"),
        "an unknown metric": ('methods = ["padim"]\ndatasets = ["nut"]\nmetrics = "auc"', "metric.*'auc'"),
        "an unknown target": ('methods = ["padim"]\ndatasets = ["nut"]\ntarget = "tpu"', "'tpu'"),
        "an unknown preset": (
            'methods = ["padim", "mkd"]\ndatasets = ["nut"]\npreset = "fast"',
            "'fast'.*quick",
        ),
    }.values(),
)
def test_a_wrong_grid_file_is_one_line(dataset, tmp_path, asked, capsys, text, said):
    file = tmp_path / "grid.toml"
    file.write_text(text)
    assert main(["benchmark", "--grid", str(file), "--data", str(dataset)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(said, line), line
    assert not asked


def test_a_preset_is_for_the_methods_that_have_it(dataset, asked):
    assert (
        main(["benchmark", "-m", "padim", "-m", "mkd", "-d", str(dataset / "nut"), "--preset", "quick"]) == 0
    )
    assert [cell.making.preset for cell in asked[0]] == [None, "quick"]


def test_cells_of_one_fit_share_it(dataset, tmp_path, monkeypatch):
    """What differs in target and form alone isn't fitted again; another seed is."""
    import edgead.evaluation.cell as cell_module

    fits, real = [], cell_module.fit
    monkeypatch.setattr(cell_module, "fit", lambda *words: fits.append(words) or real(*words))
    kept = tmp_path / "kept"
    kept.mkdir()

    def run(**making):
        cell = Cell(Making(METHOD, size=(64, 64), target="onnx", **making), str(dataset / "nut"))
        return run_cell(cell, 0, False, silent, kept, ["fp32", "int8"])

    one, other = run(precision="fp32"), run(precision="int8")
    assert len(fits) == 1 and one["fit_seconds"] == other["fit_seconds"]
    assert (one["precision"], other["precision"]) == ("fp32", "int8")
    alone = run_cell(
        Cell(Making(METHOD, size=(64, 64), target="onnx", precision="int8"), str(dataset / "nut")),
        0,
        False,
        silent,
    )
    assert alone["image_auroc"] == other["image_auroc"] and len(fits) == 2
    run(precision="fp32", seed=1)
    assert len(fits) == 3
    assert len(list(kept.glob("*.edgead"))) == 1, "the older fit is gone"


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "benchmarks").glob("*.toml")), ids=lambda f: f.stem
)
def test_the_grids_of_the_documentation_are_whole(file, tmp_path, asked, capsys):
    """Every name in them is registered, and a page of docs says what it came from."""
    grid = dict(tomllib.loads(file.read_text()))
    for name in grid["datasets"]:
        for part in ("train", "test"):
            write_images(tmp_path / name / part / "good", [good_image(i) for i in range(2)])
    assert main(["benchmark", "--grid", str(file), "--data", str(tmp_path)]) == 0, capsys.readouterr().err
    assert len(asked[0]) >= len(grid["methods"]) * len(grid["datasets"])
    docs = Path(__file__).parents[2] / "docs"
    assert any(f"benchmarks/{file.name}" in page.read_text() for page in docs.rglob("*.md"))
