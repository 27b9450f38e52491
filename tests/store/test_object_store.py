"""A store in an object store: the same scores and findings as one in a folder, over a loopback S3 server."""

import os
import urllib.request

import pytest
from fakes import failures, retrieval_task, run, write_tasks
from store_models import Counting, check_that_processes_lose_nothing, glove_file

from evalkit.errors import StoreError
from evalkit.store import Store

server = pytest.importorskip("moto.server", reason="moto is not installed")

TASK = retrieval_task({"1": "cat", "2": "dog", "3": "hen"}, {"q1": "meow"})
SECRET = "s3-secret-of-the-test"


@pytest.fixture(scope="module")
def end_point():
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture
def bucket(end_point, monkeypatch, request):
    """The address of an empty bucket. Lance and Arrow take keys and the end point from the environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": end_point, "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    name = f"bucket-{abs(hash(request.node.name)):x}"
    urllib.request.urlopen(urllib.request.Request(f"{end_point}/{name}", method="PUT")).close()
    return f"s3://{name}"


@pytest.mark.slow
def test_runs_from_the_command_line_share_it_and_equal_one_in_a_folder(evalkit, tmp_path, bucket, encoded):
    pets, _ = write_tasks(tmp_path)
    arguments = ["run", "--models", glove_file(tmp_path), "--tasks", pets, "--device", "cpu"]
    for name, place in {
        "here": tmp_path / "store",
        "there": f"{bucket}/a/store",
        "again": f"{bucket}/a/store/",
    }.items():
        encoded.clear()
        status, shown, errors = evalkit(*arguments, "--store", place, "--out", tmp_path / name)
        assert (status, errors) == (0, "")
        assert len(encoded) == (0 if name == "again" else 6)
    assert shown.splitlines()[-1] == "Store: 7 texts and pairs were there, 0 were computed."
    scores = [(tmp_path / name / "scores.csv").read_bytes() for name in ("here", "there", "again")]
    assert scores[0] == scores[1] == scores[2]
    assert not any(SECRET in file.read_text("utf-8", "replace") for file in tmp_path.rglob("*") if file.is_file())


def test_its_commands(evalkit, bucket, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    place = f"{bucket}/store"
    run([TASK], {"sbert:small": Counting(), "sbert:large": Counting(weights="large", dim=64)}, store=Store(place))
    status, shown, errors = evalkit("store", "ls", "--store", place)
    assert (status, errors) == (0, "")
    assert place in shown
    assert shown.count("vectors") == 2
    status, shown, _ = evalkit("store", "verify", "--store", place)
    assert (status, shown.count(": sound\n")) == (0, 2)
    assert evalkit("store", "prune", "--model", "large", "--store", place)[0] == 0
    assert [info.model for info in Store(place).ls()] == ["sbert:small"]


def test_damage_is_named_and_set_aside(bucket):
    store = Store(f"{bucket}/store")
    model, again = Counting(), Counting()
    run([TASK], {"m": model}, store=store)
    (info,) = store.ls()
    data = max((info.folder / "data").files(), key=lambda file: file.size)
    with info.folder._system.open_output_stream(data.path) as file:
        file.write(b"x" * data.size)
    (reason,) = failures(run([TASK], {"m": again}, store=store)).values()
    assert reason.startswith(f"the store's table {info.folder} is damaged: ")
    aside = info.folder.name.removesuffix(".lance") + ".damaged"
    assert [found for _, found in store.verify()] == [f"could not be read and is set aside as {aside}"]
    assert (info.folder.parent / aside).files()
    assert not failures(run([TASK], {"m": again}, store=store))
    assert sorted(again.read) == sorted(model.read)


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(bucket):
    check_that_processes_lose_nothing(f"{bucket}/t", 2)


def test_what_cannot_be_written_is_told_at_once(bucket, tmp_path):
    with pytest.raises(StoreError, match=rf"^the store at {bucket}-2/store cannot be written: .+ Choose another"):
        Store(f"{bucket}-2/store")
    with pytest.raises(StoreError, match=r"^web://host is no place for a store: .+ Give a folder, or an address"):
        Store("web://host/store")
    assert os.listdir(tmp_path) == []
