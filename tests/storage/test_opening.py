"""Where a lake can be, and what opening one does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
from lakes import POSTGRES, Place, T, change, make_place, put, query, rows

from headwater.engine import Engine
from headwater.errors import HeadwaterError, LakeError, LakeFormatError, LakeReadOnly, LakeUnavailable, NetworkFileSystem, StorageFull, UsageError
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Lake, core, opening
from headwater.storage.catalog import CatalogAddress, refuse_network_file_system


def parse(text: str) -> CatalogAddress:
    return CatalogAddress.parse(LakeConfig(catalog=text, data="d"), Path("/project"))


@pytest.mark.parametrize(
    ("text", "parameters", "schema"),
    [
        (
            "postgresql://ann:p%40ss@db:5433/lake?schema=x&sslmode=require",
            "user=ann password=p@ss host=db port=5433 dbname=lake sslmode=require",
            "x",
        ),
        ("postgres://db/lake", "host=db dbname=lake", "lake"),
        ("postgresql://a:1,b:2/lake", "host=a,b port=1,2 dbname=lake", "lake"),
        ("postgresql:///lake?host=/var/run", "dbname=lake host=/var/run", "lake"),
        ("postgresql://u@[::1]:5432/lake", "user=u host=::1 port=5432 dbname=lake", "lake"),
        ("service=prod", "service=prod", "lake"),
        ("host=db dbname='my lake' schema=s", "host=db dbname=my lake", "s"),
    ],
)
def test_all_ways_to_name_a_postgres_catalog(text: str, parameters: str, schema: str) -> None:
    address = parse(text)
    assert address.kind == "postgres"
    assert address.schema == schema
    added = {"sslmode": "verify-full", "sslrootcert": "system"}  # tests/sources/test_tls.py says when
    named = {key: value for key, value in address.parameters.items() if added.get(key) != value}
    assert " ".join(f"{key}={value}" for key, value in sorted(named.items())) == " ".join(
        sorted(parameters.replace("my lake", "my~lake").split(" "))
    ).replace("~", " ")
    assert "p@ss" not in address.describe()


def test_paths_are_the_projects() -> None:
    address = parse(".headwater/lake.sqlite")
    assert (address.path, address.data) == (Path("/project/.headwater/lake.sqlite"), "/project/d/")
    assert parse("/else/where.sqlite").path == Path("/else/where.sqlite")
    with pytest.raises(UsageError):
        parse("mysql://u:secret@h/db")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "9p"])
def test_a_sqlite_catalog_on_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = [("/", "ext4"), (str(tmp_path), kind), (str(tmp_path / "local"), "ext4")]
    with pytest.raises(NetworkFileSystem) as caught:
        refuse_network_file_system(tmp_path / "deep" / "lake.sqlite", mounts)
    assert "postgresql" in (caught.value.hint or "")
    refuse_network_file_system(tmp_path / "local" / "lake.sqlite", mounts)


def test_nothing_is_made_where_creating_is_not_asked_for(tmp_path: Path) -> None:
    for catalog in ("lake.sqlite", f"{POSTGRES}?schema=hw_storage_not_there"):
        with Engine(extensions=LAKE_EXTENSIONS) as engine, pytest.raises(LakeUnavailable):
            Lake.open(LakeConfig(catalog=catalog, data="data"), engine, project_dir=tmp_path, environment="prod", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_catalog_that_cannot_be_reached_is_told_without_the_password(tmp_path: Path) -> None:
    with Engine(extensions=LAKE_EXTENSIONS) as engine, pytest.raises(LakeUnavailable) as caught:
        Lake.open(LakeConfig(catalog="postgresql://u:hush@127.0.0.1:1/x"), engine, project_dir=tmp_path, environment="prod")
    assert "hush" not in str(caught.value)


def test_a_newer_lake_is_refused_and_an_older_one_opened(place: Place) -> None:
    lake = place.open()
    put(lake, "SELECT 1 AS id")
    lake.read_as_system("INSERT INTO lake.headwater.format SELECT 0, lake_id, 'old', now() FROM lake.headwater.format")
    place.close()
    assert rows(place.open()) == [(1,)]
    place.open().read_as_system("INSERT INTO lake.headwater.format SELECT 99, lake_id, 'new', now() FROM lake.headwater.format")
    place.close()
    with pytest.raises(LakeFormatError, match="newer version"):
        place.open()


def test_a_lake_opened_for_reading_refuses_commits(both_places: Place) -> None:
    put(both_places.open(), "SELECT 1 AS id")
    lake = both_places.open(read_only=True)
    assert rows(lake) == [(1,)]
    with pytest.raises(LakeReadOnly):
        lake.commit([change(lake, "SELECT 2 AS id", as_files=False)])
    with pytest.raises(LakeReadOnly):
        lake.maintain()


def test_a_plain_lake_is_not_opened_as_an_encrypted_one(place: Place) -> None:
    place.open()
    place.close()
    place.config = place.config.model_copy(update={"encrypted": True})
    with pytest.raises(LakeError, match="not encrypted"):
        place.open()


def test_a_project_folder_that_was_moved_still_opens(tmp_path: Path) -> None:
    with make_place(tmp_path / "old", "sqlite") as place:
        put(place.open(), "SELECT 1 AS id", as_files=True)
        place.close()
        (tmp_path / "old").rename(tmp_path / "new")
        with Engine(extensions=LAKE_EXTENSIONS) as engine, Lake.open(place.config, engine, project_dir=tmp_path / "new", environment="prod") as lake:
            assert rows(lake) == [(1,)]
            put(lake, "SELECT 2 AS id", as_files=True)
            assert lake.check_consistency() == []


def test_a_wrong_data_folder_is_told_before_anything_is_written(place: Place) -> None:
    put(place.open(), "SELECT 1 AS id")
    place.close()
    place.config = place.config.model_copy(update={"data": "elsewhere"})
    with pytest.raises(LakeError, match="isn't where"):
        place.open()


@pytest.mark.parametrize("moment", ["_create", "_owner_of", "create_statements"])
def test_a_lake_that_another_process_makes_meanwhile_is_opened(both_places: Place, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Whenever the other comes between: before we look whose folder it is, after it, or when our transaction has begun."""
    step = getattr(opening, moment)
    others: list[Lake] = []

    def lose_the_race(*arguments: object) -> object:
        found = step(*arguments) if moment == "_owner_of" else None
        if not others:
            monkeypatch.setattr(opening, moment, step)
            others.append(both_places.open())
        return found if moment == "_owner_of" else step(*arguments)

    monkeypatch.setattr(core, "LOCK_PATIENCE_SECONDS", 0.1)  # the other comes while we hold the lock: correctness never rests on it
    monkeypatch.setattr(opening, moment, lose_the_race)
    lake = both_places.open()
    assert query(lake, "SELECT count(*) FROM lake.headwater.format") == [(1,)]
    assert put(lake, "SELECT 1 AS id") > 0


def test_the_mark_of_a_data_folder_is_there_whole_or_not_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processes that make one lake, one may look while another writes, or be killed writing."""
    place.open()
    mark = place.folder / "data" / opening.OWNER_FILE
    whole = mark.read_text()
    mark.unlink()
    renamed, looked = Path.replace, []

    def meanwhile(draft: Path, target: str) -> Path:
        patch.undo()
        looked.append((draft.read_text(), mark.exists()))
        place.open()
        assert mark.read_text() == whole
        return renamed(draft, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", meanwhile)
        place.open()
    assert looked == [(whole, False)]
    assert mark.read_text() == whole
    assert [file.name for file in mark.parent.iterdir() if file.is_file()] == [mark.name]


def test_closing_gives_the_catalog_free_at_once(place: Place) -> None:
    lake = place.open()
    put(lake, "SELECT 1 AS id")
    place.close()
    (place.folder / "lake.sqlite").unlink()
    (place.folder / "data" / "headwater-lake.json").unlink()
    assert place.open().state().tables == {}


UNPRIVILEGED = """
    import os, sys, pathlib
    import duckdb, pytz, pyarrow, filelock
    from headwater.engine import Engine
    from headwater.errors import LakeReadOnly
    from headwater.spec.project import LakeConfig
    from headwater.storage import Lake
    sys.path.insert(0, sys.argv[2])
    import lakes
    folder = pathlib.Path(sys.argv[1])
    warm = lakes.Place(folder / "warm", LakeConfig(catalog="lake.sqlite", data="data"))
    lake = warm.open()
    lakes.put(lake, "SELECT 1 AS id", as_files=True)
    lakes.rows(lake)
    warm.close()
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    place = lakes.Place(folder, LakeConfig(catalog="lake.sqlite", data="data"))
    lake = place.open()
    assert lake.read_only
    assert lakes.rows(lake) == [(1,)]
    try:
        lakes.put(lake, "SELECT 2 AS id", as_files=False)
    except LakeReadOnly:
        print("refused")
    place.close()
"""


@pytest.mark.parametrize("with_log", [True, False])
def test_a_lake_without_write_permission_is_read_and_refuses_commits(place: Place, with_log: bool) -> None:
    lake = place.open()
    put(lake, "SELECT 1 AS id", as_files=True)
    (place.folder / "warm").mkdir()
    if not with_log:
        place.close()
    folders = [place.folder, *(path for path in place.folder.rglob("*") if path.is_dir() and path.name != "warm")]
    opened = [path for path in place.folder.parents if path != Path("/") and not path.stat().st_mode & 0o005 and path.owner() != "root"]
    for path in [*place.folder.parents][:3]:
        path.chmod(path.stat().st_mode | 0o055)
    assert opened == []
    for path in folders:
        path.chmod(0o555)
    for path in place.folder.rglob("*.sqlite*"):
        path.chmod(0o444)
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(UNPRIVILEGED), str(place.folder), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.strip(), done.returncode) == ("refused", 0), done.stderr
    finally:
        for path in folders:
            path.chmod(0o755)
        for path in place.folder.rglob("*.sqlite*"):
            path.chmod(0o644)


def test_a_damaged_catalog_is_told_with_the_way_out(place: Place) -> None:
    put(place.open(), "SELECT 1 AS id")
    place.close()
    (place.folder / "lake.sqlite").write_bytes(b"no database at all" * 200)
    with pytest.raises(LakeError, match="damaged") as caught:
        place.open()
    assert "headwater restore" in (caught.value.hint or "")


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.getuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("full", ["data", "catalog"])
def test_a_full_disk_commits_nothing_and_says_so(tmp_path: Path, full: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=True)
    try:
        config = LakeConfig(
            catalog=str(small / "lake.sqlite") if full == "catalog" else "lake.sqlite", data=str(small / "data") if full == "data" else "data"
        )
        place = Place(tmp_path, config)
        lake = place.open()
        put(lake, "SELECT 1::BIGINT AS id, 'x' AS v")
        head = lake.head()
        if full == "catalog":
            subprocess.run(["dd", "if=/dev/zero", f"of={small / 'filler'}", "bs=1k"], check=False, capture_output=True)
        for as_files in (True, False):
            with pytest.raises(StorageFull):
                put(lake, "SELECT range AS id, md5(range::VARCHAR) AS v FROM range(300000)", as_files=as_files)
        if full == "data":
            assert lake.head() == head
            assert rows(lake) == [(1, "x")]
        if full == "catalog":
            place.close()
            with pytest.raises(StorageFull):
                place.open()
            (small / "filler").unlink()
            lake = place.open()
        assert lake.head() == head
        assert rows(lake) == [(1, "x")]
        lake.maintain(orphan_grace=timedelta(0), reader_grace=timedelta(0))
        put(lake, "SELECT 2::BIGINT AS id, 'y' AS v")
        assert rows(lake) == [(1, "x"), (2, "y")]
        assert lake.check_consistency() == []
        place.close()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_lake_in_an_object_store(tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
        client.create_bucket(Bucket="lake")
        s3 = {"endpoint": f"{host}:{port}", "key_id": "k", "secret": "s", "use_ssl": False, "url_style": "path", "region": "us-east-1"}
        place = Place(tmp_path, LakeConfig(catalog="lake.sqlite", data="s3://lake/prefix", s3=s3))
        lake = place.open()
        put(lake, "SELECT range AS id FROM range(3)", as_files=True)
        put(lake, "SELECT 3::BIGINT AS id")
        staged = change(lake, "SELECT 4::BIGINT AS id", as_files=True).staged
        assert staged is not None
        assert staged.files[0].startswith("s3://lake/prefix/shop/orders/")
        assert rows(lake) == [(0,), (1,), (2,), (3,)]
        assert lake.check_consistency() == []
        lake.backup(tmp_path / "b")
        assert len(list((tmp_path / "b" / "data").rglob("*.parquet"))) >= 2
        place.close()
        assert rows(place.open()) == [(0,), (1,), (2,), (3,)]
        other = place.config.model_copy(update={"catalog": "other.sqlite"})
        with Engine(extensions=LAKE_EXTENSIONS) as engine, pytest.raises(HeadwaterError, match="belongs to another lake"):
            Lake.open(other, engine, project_dir=tmp_path, environment="prod")
        place.close()
    finally:
        server.stop()


def test_two_columns_of_one_name_are_kept_apart_or_refused(lake: Lake) -> None:
    with pytest.raises(HeadwaterError):
        put(lake, "SELECT 1 AS a, 2 AS A")
    assert lake.state().find(T) is None
