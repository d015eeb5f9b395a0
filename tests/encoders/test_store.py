"""The store of results by content."""

import subprocess
import sys

import pytest

from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError


def test_what_was_added_is_found_by_whoever_opens_the_file(tmp_path):
    path = tmp_path / "new" / "folder" / "results.sqlite"
    with Store(path) as store:
        assert len(store) == 0 and store.find(["a"]) == {}
        store.add({"a": b"1", "b": b""})
        store.add({"a": b"2"})
        store.add({})
    with Store(path) as store:
        assert len(store) == 2 and store.find(iter(["a", "b", "a", "c"])) == {"a": b"2", "b": b""}


def test_more_keys_than_a_statement_takes(tmp_path):
    with Store(tmp_path / "results") as store:
        store.add({str(k): str(k).encode() for k in range(2_500)})
        found = store.find(str(k) for k in range(1, 2_600))
    assert found == {str(k): str(k).encode() for k in range(1, 2_500)}


def test_a_batch_is_whole_or_absent(tmp_path):
    """The second batch fails in its middle: SQLite cannot keep a value of that type."""
    with Store(tmp_path / "results") as store:
        store.add({"a": b"1"})
        with pytest.raises(Exception, match="type 'object' is not supported"):
            store.add({"b": b"2", "c": object()})  # type: ignore[dict-item]
        assert len(store) == 1 and store.find(["b"]) == {}


def test_a_process_killed_after_a_batch_leaves_it(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from mllm_rec.encoders.store import Store\n"
        "store = Store(Path(sys.argv[1])); store.add({'a': b'1'}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "results")], check=False)
    with Store(tmp_path / "results") as store:
        assert store.find(["a"]) == {"a": b"1"}


def test_a_file_that_is_something_else_is_refused(tmp_path):
    words = tmp_path / "words"
    words.write_text("not a database, and longer than the header of one would be" * 20)
    for path in (words, tmp_path, words / "below"):
        with pytest.raises(InputError, match=r"cannot be used as a store of encoded items .*; delete it or name another"):
            Store(path)
    assert words.read_text().startswith("not a database")
