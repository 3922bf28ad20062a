"""The main job on real programs: the same bytes however it ran."""

import json

import pyarrow.parquet as pq
import pytest

from builder.config import BuildConfig, Limits
from builder.dataset.journal import journal_path
from builder.dataset.read import read_rejections, read_rows
from builder.errors import Interrupted, UsageError
from builder.pipeline.build import build
from builder.pipeline.streams import SeedStream

FAMILIES = ("bias_activation", "layer_norm", "log_softmax", "swiglu")


def built(out, workers=2, pairs=5, seed=3, on_progress=lambda _: None, **changes):
    config = BuildConfig(
        pairs=pairs, out=out, seed=seed, families=FAMILIES, workers=workers, **changes
    )
    return build(config, SeedStream(config), on_progress)


def data_files(out):
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in sorted(out.rglob("*"))
        if file.is_file() and ".torch2triton" not in file.parts
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("build") / "out"
    return out, built(out)


def test_rows_are_verified_pairs_in_seed_order(reference):
    out, summary = reference
    rows = read_rows(out)
    assert summary["pairs"] == len(rows) == 5
    assert [row["seed"] for row in rows] == sorted(row["seed"] for row in rows)
    assert all(row["verified"] and row["compiled_targets"] == ["cuda:90"] for row in rows)
    assert all(row["registers"] > 0 and row["flops"] > 0 for row in rows)
    assert not any("torch._inductor" in row["triton_code"] for row in rows)
    assert all("torch._inductor" in row["original_triton_code"] for row in rows)
    assert set(summary["families"]) <= set(FAMILIES)
    assert pq.read_table(out / "data/train-00000-of-00001.parquet").num_rows == 5


def test_one_worker_gives_the_same_bytes(reference, tmp_path):
    out, _ = reference
    built(tmp_path / "single", workers=1)
    assert data_files(tmp_path / "single") == data_files(out)


def test_an_interrupted_build_is_valid_and_goes_on_to_the_same_bytes(reference, tmp_path):
    out, _ = reference
    stopped = tmp_path / "stopped"

    def stop_at_two(progress):
        if progress.pairs == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="same command again"):
        built(stopped, on_progress=stop_at_two)
    assert len(read_rows(stopped)) == 2
    journal = journal_path(stopped)
    journal.write_bytes(journal.read_bytes() + b'{"index": 99, "row": {"half a li')
    summary = built(stopped)
    assert summary["pairs"] == 5
    assert data_files(stopped) == data_files(out)


def test_a_finished_build_is_not_built_again(reference):
    out, _ = reference
    before = data_files(out), journal_path(out).read_bytes()
    assert built(out)["pairs"] == 5
    assert (data_files(out), journal_path(out).read_bytes()) == before


def test_fewer_pairs_are_the_first_of_more(reference, tmp_path):
    out, _ = reference
    journal = journal_path(tmp_path / "fewer")
    journal.parent.mkdir(parents=True)
    journal.write_bytes(journal_path(out).read_bytes())
    built(tmp_path / "fewer", pairs=3)
    assert read_rows(tmp_path / "fewer") == read_rows(out)[:3]


def test_another_seed_does_not_go_into_the_same_folder(reference):
    out, _ = reference
    before = data_files(out)
    with pytest.raises(UsageError, match="seed"):
        built(out, seed=4)
    assert data_files(out) == before


def test_a_kill_is_a_rejection_and_the_build_goes_on(tmp_path):
    """No program here is quicker than the deadline; each is killed, none is lost."""
    seen = []

    def stop_at_three(progress):
        seen.append(progress)
        if progress.items == 3:
            raise KeyboardInterrupt

    limits = Limits(deadline_s=0.01)
    with pytest.raises(Interrupted):
        built(tmp_path / "killed", on_progress=stop_at_three, limits=limits)
    rejections = read_rejections(tmp_path / "killed")
    assert [rejection["kind"] for rejection in rejections] == ["deadline"] * 3
    assert not any(rejection["deterministic"] for rejection in rejections)
    assert all(rejection["source"].startswith("family:") for rejection in rejections)
    lines = journal_path(tmp_path / "killed").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 4
