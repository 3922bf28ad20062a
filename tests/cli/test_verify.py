"""``torch2triton verify`` on rows that were tampered with: each failure is found and named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.command import torch2triton

COLUMNS = ("entry_point", "python_code", "triton_code")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    out = tmp_path_factory.mktemp("verify") / "out"
    done = torch2triton(
        "build", "--pairs", 2, "--out", out, "--families", "layer_norm,swiglu", "--format", "quiet"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    return out


def rows_of(out):
    return pq.read_table(out / "data/train-00000-of-00001.parquet").to_pylist()


def kernelbook_file(path, rows):
    rows = [{name: row[name] for name in COLUMNS} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def verdicts(*arguments):
    done = torch2triton("verify", *arguments, "--format", "json")
    return done.returncode, json.loads(done.stdout)


def test_every_row_of_a_build_verifies_again(pairs):
    done = torch2triton("verify", pairs, "--workers", 1)
    assert done.returncode == 0
    assert "2 of 2 pairs verified" in done.stderr
    assert done.stdout.count("verified") == 2
    assert all(row["pair_id"] in done.stdout for row in rows_of(pairs))


def test_each_tampered_row_fails_and_says_why(pairs, tmp_path):
    good = rows_of(pairs)[0]
    changes = {
        "tl.arange(0, ": "1 + tl.arange(0, ",
        "\n        return ": "\n        return 1.5 * ",
        "import torch\n": "import torch\nimport torch._inductor\n",
        'check_tensor("': 'while True: pass\n        check_tensor("',
        '    check_tensor("': '    import ctypes; ctypes.string_at(0)\n        check_tensor("',
    }
    texts = [new.join(good["triton_code"].rsplit(old, 1)) for old, new in changes.items()] + [""]
    rows = [good | {"triton_code": text} for text in texts]
    assert all(row["triton_code"] != good["triton_code"] for row in rows)
    file = kernelbook_file(tmp_path / "pairs.parquet", [good, *rows])
    status, result = verdicts(file, "--deadline", 15)
    assert status == 1
    assert (result["rows"], result["verified"]) == (len(rows) + 1, 1)
    assert len({item["pair_id"] for item in result["failed"]}) == len(rows)
    assert all(item["reason"] for item in result["failed"])


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_what_is_no_parquet_is_wrong_usage(content, tmp_path):
    file = tmp_path / "pairs.parquet"
    file.write_bytes(content)
    done = torch2triton("verify", file)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
