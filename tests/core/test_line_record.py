"""The record of a line: its database by an independent connection, damaged and hostile ones, the audit."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edgead.cli import main
from edgead.errors import (
    AuditChainError,
    DamagedRecordError,
    NoRecordError,
    OptionError,
    OutputError,
    RecordBusyError,
    RecordVersionError,
)
from edgead.line.record import (
    RecordReader,
    RecordWriter,
    add_audit,
    export_log,
    exporting,
    file_feedback,
    mark_taught,
    verify_audit,
)
from edgead.line.record import schema as record_schema
from edgead.line.record.audit import HEAD
from edgead.line.record.places import image_name
from edgead.line.records import record_of
from edgead.types import Region, Times, Verdict

RUN = "0123456789abcdef"
BUNDLE = "b" * 64


def verdict(trigger: int, score: float | None = 1.0, camera: str = "top", **fields: Any) -> dict[str, Any]:
    """A verdict's record: a reject above 2."""
    made = Verdict(
        RUN, trigger, f"part {trigger}", camera, "reject" if score is None or score > 2 else "accept",
        "deadline" if score is None else "score", score, None if score is None else 2.0,
        (Region((1, 2, 3, 4), 9, 2.5),) if score is not None and score > 2 else (), BUNDLE,
        Times(trigger * 10, trigger * 10 + 1, None, trigger * 10 + 5), trigger * 100, trigger,
    )  # fmt: skip
    return record_of(made) | fields


def fill(folder: Path, count: int = 10) -> RecordWriter:
    writer = RecordWriter(folder)
    for trigger in range(1, count + 1):
        writer.verdict(verdict(trigger, None if trigger % 5 == 0 else trigger % 4), trigger * 1000)
    writer.commit()
    return writer


@contextlib.contextmanager
def own(folder: Path) -> Any:
    """A connection that knows nothing of edgead."""
    connection = sqlite3.connect(folder / "record.db", isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def test_what_is_committed_is_what_was_said(tmp_path: Path) -> None:
    fill(tmp_path)
    with own(tmp_path) as connection:
        rows = connection.execute(
            'SELECT run, "trigger", part, camera, decision, why, score, threshold, bundle, encoder, frame_id,'
            " trigger_ns, grab_ns, judged_ns, said_ns, utc_ns, regions FROM verdicts ORDER BY id"
        ).fetchall()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    regions = json.dumps([{"box": [1, 2, 3, 4], "area": 9, "peak": 2.5}], separators=(",", ":"))
    assert len(rows) == 10
    assert rows[2] == (RUN, 3, "part 3", "top", "reject", "score", 3.0, 2.0, BUNDLE, 300, 3, 30, 31, None, 35,
                       3000, regions)  # fmt: skip
    assert rows[4][4:9] == ("reject", "deadline", None, None, BUNDLE)


def test_a_record_is_begun_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_schema, "_TABLES", (*record_schema._TABLES, "CREATE NONSENSE"))
    with pytest.raises(OutputError):
        RecordWriter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_that_is_sent_again_is_there_once(tmp_path: Path) -> None:
    writer = fill(tmp_path)
    first = writer.verdict(verdict(3), 1)
    new = writer.verdict(verdict(11), 1)
    writer.commit()
    with own(tmp_path) as connection:
        assert connection.execute("SELECT count(*), max(id) FROM verdicts").fetchone() == (11, new)
    assert first == 3


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    writer = fill(tmp_path)
    writer.verdict(verdict(11), 1)
    writer.close()
    assert len(RecordReader(tmp_path).verdicts()) == 10


def test_values_that_no_database_takes_are_no_fault(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path)
    writer.verdict(verdict(1, part="\ud800\0'; DROP TABLE verdicts", encoder=1 << 70), 5)
    writer.commit()
    (row,) = RecordReader(tmp_path).verdicts()
    assert row.part == "?\0'; DROP TABLE verdicts" and row.encoder is None


def test_pages_filters_scores_and_counts(tmp_path: Path) -> None:
    writer = fill(tmp_path, 20)
    writer.verdict(verdict(21, 9.0, "side"), 21_000)
    writer.commit()
    reader = RecordReader(tmp_path)
    page = reader.verdicts(5)
    assert [row.trigger for row in page] == [21, 20, 19, 18, 17]
    assert [row.trigger for row in reader.verdicts(3, before=page[-1].id)] == [16, 15, 14]
    assert [row.trigger for row in reader.verdicts(decision="reject", camera="side")] == [21]
    assert [r.trigger for r in reader.verdicts(decision="reject")] == [21, 20, 19, 15, 11, 10, 7, 5, 3]
    assert [row.score for row in reader.scores("top", 3)] == [1.0, 2.0, 3.0]
    assert reader.counts() == {"score": 17, "deadline": 4}
    assert reader.counts(since_ns=20_000) == {"deadline": 1, "score": 1}
    assert reader.decisions(camera="side") == {"reject": 1}
    assert [row.trigger for row in reader.after(0, 2, since_ns=7000)] == [7, 8]
    assert [row.trigger for row in reader.after(0, since_ns=7000, until_ns=9000)] == [7, 8]
    assert reader.verdicts(limit=-1) == [] and reader.verdict(1 << 80) is None
    row = reader.verdict(3)
    assert row is not None and row.regions == (Region((1, 2, 3, 4), 9, 2.5),)


def test_feedback_is_filed_once_and_fits_its_verdict(tmp_path: Path) -> None:
    fill(tmp_path)
    number = file_feedback(tmp_path, 3, "false-alarm", "ann", "a drop of oil")
    assert file_feedback(tmp_path, 3, "false-alarm", "bob") == number
    with pytest.raises(OptionError, match="can't be 'missed'"):
        file_feedback(tmp_path, 3, "missed", "ann")
    with pytest.raises(OptionError, match="no verdict 99"):
        file_feedback(tmp_path, 99, "missed", "ann")
    reader = RecordReader(tmp_path)
    (row,) = reader.feedback("filed")
    assert (row.verdict, row.kind, row.user, row.reason) == (3, "false-alarm", "ann", "a drop of oil")
    mark_taught(tmp_path, number)
    assert reader.feedback("filed") == [] and reader.feedback()[0].state == "taught"


def test_a_writer_that_holds_on_makes_others_wait_and_then_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    monkeypatch.setattr(record_schema, "BUSY_SECONDS", 0.05)
    with own(tmp_path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordBusyError, match="another process"):
            file_feedback(tmp_path, 3, "false-alarm", "ann")
        assert len(RecordReader(tmp_path).verdicts()) == 10


# ------------------------------------------------------------------- files of strangers


def test_no_name_in_the_database_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "record", tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    writer = fill(folder)
    name = image_name("top", RUN, 1, 10**18, "png")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"mine")
    (folder / name.replace("-1.png", "-2.png")).symlink_to(outside)
    (folder / "images" / "linked").symlink_to(tmp_path)
    (tmp_path / "2001-09-09").mkdir()
    (tmp_path / "2001-09-09" / f"{RUN}-3.png").write_bytes(b"secret")
    hostile = [
        name, name.replace("-1.png", "-2.png"), f"images/linked/2001-09-09/{RUN}-3.png", "../secret.png",
        str(outside), f"images/top/2001-09-09/../../../../secret.png/{RUN}-1.png", "", "record.db",
        name + "\n", name + "\0.png",
    ]  # fmt: skip
    for number, file in enumerate(hostile, 1):
        writer.image(number, file, 1, 1, 1, "reject")
    writer.commit()
    reader = RecordReader(folder)
    assert [reader.image(number) for number in range(1, 11)] == [folder / name] + [None] * 9
    assert reader.map(1) is None


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("PRAGMA user_version = 2", RecordVersionError),
        ("PRAGMA application_id = 7", DamagedRecordError),
        ("CREATE VIEW verdict AS SELECT 1", DamagedRecordError),
        ("CREATE TRIGGER mine AFTER INSERT ON events BEGIN DELETE FROM images; END", DamagedRecordError),
        ("DROP TRIGGER audit_stays", DamagedRecordError),
    ],
)
def test_a_database_that_is_not_as_written_is_refused(tmp_path: Path, sql: str, error: type) -> None:
    fill(tmp_path).close()
    with own(tmp_path) as connection:
        connection.execute(sql)
    with pytest.raises(error):
        RecordReader(tmp_path)


def test_a_folder_without_a_record_and_a_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRecordError):
        RecordReader(tmp_path)
    (tmp_path / "record.db").symlink_to("/etc/passwd")
    with pytest.raises(DamagedRecordError):
        RecordReader(tmp_path)


def test_another_version_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path).close()
    with own(tmp_path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(RecordVersionError):
        RecordWriter(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["record.db"]


@pytest.mark.parametrize("where", ["header", "noise", "cut", "empty"])
def test_a_damaged_database_is_moved_aside_and_a_new_one_begun(tmp_path: Path, where: str) -> None:
    fill(tmp_path, 300).close()
    file = tmp_path / "record.db"
    data = bytearray(file.read_bytes())
    if where == "header":
        data[:16] = b"no database here"
    elif where == "noise":
        data[100:4096] = b"\xff" * 3996
    file.write_bytes({"cut": data[:700], "empty": b""}.get(where, data))
    writer = RecordWriter(tmp_path)
    (notice,) = writer.notices
    assert notice.code == "line-record-damaged" and "record.db.damaged-" in str(notice)
    aside = tmp_path / notice.values["aside"]
    assert aside.read_bytes() == file_of(data, where)
    writer.verdict(verdict(1), 1)
    writer.commit()
    assert len(RecordReader(tmp_path).verdicts()) == 1
    (row,) = RecordReader(tmp_path).audit()
    assert (row.user, row.what, row.old) == ("edgead", "record", aside.name)
    verify_audit(tmp_path)


def file_of(data: bytearray, where: str) -> bytes:
    return bytes({"cut": data[:700], "empty": b""}.get(where, data))


def test_values_of_other_types_in_a_database_are_told(tmp_path: Path) -> None:
    """STRICT holds where SQLite writes; a file's bytes are anybody's."""
    fill(tmp_path).close()
    file = tmp_path / "record.db"
    data = file.read_bytes()
    assert b"part 3" in data
    file.write_bytes(data.replace(b'"area":9', b'"area":"'))
    with pytest.raises(DamagedRecordError, match="regions"):
        RecordReader(tmp_path).verdicts()


@pytest.mark.parametrize(
    "regions",
    [
        '[{"box":[1e999,0,1,1],"area":1,"peak":1}]', '[{"box":[0,0,1,1],"area":1,"peak":Infinity}]',
        '[{"box":[0,0,1,1],"area":1,"peak":NaN}]', f'[{{"box":[0,0,1,1],"area":{10**400},"peak":1}}]',
        f'[{{"box":[0,0,1,1],"area":{10**300},"peak":1}}]', "[" + "[" * 5000, "5",
        json.dumps([{"box": [0, 0, 1, 1], "area": 1, "peak": 1.0}] * 101),
    ],
)  # fmt: skip
def test_numbers_that_no_region_has_are_told(tmp_path: Path, regions: str) -> None:
    fill(tmp_path).close()
    with own(tmp_path) as connection:
        connection.execute("DROP TRIGGER verdicts_stay")
        connection.execute('UPDATE verdicts SET "regions" = ?', (regions,))
        connection.execute(next(sql for sql in record_schema._TABLES if "verdicts_stay" in sql))
    with RecordReader(tmp_path) as reader, pytest.raises(DamagedRecordError, match="regions"):
        reader.verdicts()


def test_feedback_of_no_kind_is_told(tmp_path: Path) -> None:
    fill(tmp_path).close()
    file_feedback(tmp_path, 3, "false-alarm", "ann")
    with own(tmp_path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE feedback SET \"kind\" = 'engine=mine'")
    with RecordReader(tmp_path) as reader, pytest.raises(DamagedRecordError, match="no kind"):
        reader.feedback()


# ------------------------------------------------------------------- the audit


def moved(folder: Path, count: int = 5) -> str:
    """An audit of some rows; returns its head."""
    fill(folder).close()
    for number in range(count):
        add_audit(folder, "ann", "threshold", camera="top", old=str(number), new=str(number + 1), reason="ü")
    return verify_audit(folder).head


def without_triggers(folder: Path, sql: str) -> None:
    """What somebody does who can write the file and knows SQLite."""
    with own(folder) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(sql)
        for _, made in triggers:
            connection.execute(made)


def test_the_chain_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    moved(tmp_path)
    with own(tmp_path) as connection:
        (uid,) = connection.execute("SELECT uid FROM record").fetchone()
        rows = connection.execute("SELECT * FROM audit ORDER BY id").fetchall()
    before = hashlib.sha256(f"edgead audit {uid}".encode()).hexdigest()
    for row in rows:
        assert row[8] == before
        before = hashlib.sha256(json.dumps(row[:9], separators=(",", ":")).encode()).hexdigest()
        assert row[9] == before
    state = verify_audit(tmp_path)
    assert (state.rows, state.hash, state.anchored) == (5, before, True)
    assert [row.new for row in RecordReader(tmp_path).audit()] == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET new = '9' WHERE id = 3",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT id, utc_ns, 'eve', what, camera, old, new, reason, before, hash"
        " FROM audit WHERE id = 3",
        "INSERT INTO audit SELECT 9, utc_ns, user, what, camera, old, new, reason, before, hash FROM audit"
        " WHERE id = 3",
        "UPDATE verdicts SET decision = 'accept'",
    ],
)
def test_the_database_itself_refuses_changes(tmp_path: Path, sql: str) -> None:
    moved(tmp_path)
    with (
        own(tmp_path) as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"append-only|never changed"),
    ):
        connection.execute(sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit SET new = '9' WHERE id = 3", "row 3: it was changed"),
        ("UPDATE audit SET utc_ns = utc_ns + 1 WHERE id = 1", "row 1: it was changed"),
        ("UPDATE audit SET camera = NULL WHERE id = 5", "row 5: it was changed"),
        ("DELETE FROM audit WHERE id = 2", "row 2: it's missing"),
        ("DELETE FROM audit WHERE id = 1; UPDATE audit SET id = id - 1", "row 1: it doesn't follow"),
        ("DELETE FROM audit WHERE id > 3", "row 4: it's missing, and 5 rows were written"),
        (
            "DELETE FROM audit WHERE id > 3; UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'",
            "row 4: it's missing, and by audit.head there were 5 rows",
        ),
        ("UPDATE record SET uid = 'x'", "another record's"),
    ],
)
def test_the_first_broken_row_is_named(tmp_path: Path, sql: str, said: str) -> None:
    moved(tmp_path)
    without_triggers(tmp_path, sql)
    with pytest.raises(AuditChainError, match=said):
        verify_audit(tmp_path)


def test_against_who_can_write_the_folder_a_noted_head_helps(tmp_path: Path) -> None:
    head = moved(tmp_path)
    without_triggers(
        tmp_path, "DELETE FROM audit WHERE id > 3; UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'"
    )
    (tmp_path / HEAD).unlink()
    state = verify_audit(tmp_path)
    assert state.rows == 3 and not state.anchored
    with pytest.raises(AuditChainError, match="row 4: it's missing, and by the hash that was noted"):
        verify_audit(tmp_path, head)
    for number in range(3):
        add_audit(tmp_path, "eve", "threshold", new=str(number))
    verify_audit(tmp_path)
    with pytest.raises(AuditChainError, match="row 5: it isn't what the hash that was noted says"):
        verify_audit(tmp_path, head)
    with pytest.raises(OptionError, match="no head"):
        verify_audit(tmp_path, "5")


def test_no_row_is_added_over_a_gap(tmp_path: Path) -> None:
    moved(tmp_path)
    without_triggers(tmp_path, "DELETE FROM audit WHERE id > 3")
    with pytest.raises(AuditChainError):
        add_audit(tmp_path, "eve", "threshold")
    with pytest.raises(OptionError, match="user"):
        add_audit(tmp_path, "", "threshold")
    with pytest.raises(OptionError, match="reason: 1001 characters"):
        add_audit(tmp_path, "eve", "threshold", reason="r" * 1001)


# ------------------------------------------------------------------- as a table


def exported(folder: Path) -> RecordWriter:
    writer = fill(folder, 12)
    writer.verdict(verdict(13, part="=HYPERLINK(1)", camera="-top"), 86_400_000_000_000 + 1_500)
    writer.image(13, image_name("top", RUN, 13, 0, "png"), 5, 2, 2, "near")
    writer.image(12, "../../etc/passwd", 5, 2, 2, "near")
    writer.commit()
    file_feedback(folder, 13, "missed", "ann")
    return writer


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_table_as_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgead.line.record.exporting.BATCH", 5)
    writer = exported(tmp_path)
    done = export_log(tmp_path, tmp_path / "verdicts.csv")
    rows = rows_of(done.file)
    assert done.rows == len(rows) == 13 and tuple(rows[0]) == done.columns
    assert [row["trigger"] for row in rows] == [str(n) for n in range(1, 14)]
    assert (
        rows[2]["score"] == "3.0"
        and rows[4]["score"] == ""
        and json.loads(rows[2]["regions"])[0]["area"] == 9
    )
    last = rows[-1]
    assert last["part"] == "'=HYPERLINK(1)" and last["camera"] == "'-top"
    assert (last["utc"], last["utc_ns"]) == ("1970-01-02T00:00:00.000001Z", "86400000001500")
    assert (last["kept"], last["feedback"], rows[-2]["image"]) == ("near", "missed", "")
    assert last["image"].endswith("-13.png")
    writer.close()


@pytest.mark.parametrize(
    ("part", "marks"),
    [("=1", 1), ("\t=1", 2), (" =1", 1), ("a;=1", 1), ("a; =1", 1), ("a\r\n+1", 1), ("a;;@b;-c", 2),
     ("\na", 1), ("a-b=c", 0), ("a;b-1", 0), ("", 0), ("ü", 0)],
)  # fmt: skip
def test_no_cell_is_a_formula_where_semicolons_divide_them_either(part: str, marks: int) -> None:
    cell = exporting._cell(part, "text")
    assert cell.replace("'", "") == part and cell.count("'") == marks
    assert not any(piece.lstrip(" ")[:1] in {*"=+-@"} for piece in re.split(r"[;\t\r\n]", cell))


def test_a_table_as_parquet_of_a_line_and_of_some_days(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, of the extra [log], isn't installed")
    exported(tmp_path / "record")
    (tmp_path / "line.toml").write_text(
        '[[camera]]\nname = "top"\nsource = "folder"\nbundle = "b"\n[[sink]]\nkind = "file"\n[log]\n'
    )
    done = export_log(tmp_path / "line.toml", tmp_path / "v.parquet", since="1970-01-01")
    table = pq.read_table(done.file)
    assert table.num_rows == 13 and str(table.schema.field("score").type) == "double"
    assert table.column("part")[12].as_py() == "=HYPERLINK(1)" and table.column("score")[4].as_py() is None
    some = export_log(tmp_path / "record", tmp_path / "v.csv", since="1970-01-02T01:00:00+01:00")
    assert some.rows == 1
    assert export_log(tmp_path / "record", tmp_path / "v.csv", until="1970-01-02").rows == 12


def test_the_audit_as_a_table_and_its_chain_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, out = moved(tmp_path), tmp_path / "audit.csv"
    assert main(["line", "export-log", str(tmp_path), "--out", str(out), "--audit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 5
    assert [row["new"] for row in rows_of(out)] == ["1", "2", "3", "4", "5"]
    assert main(["line", "verify-log", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"anchored": True, "head": head, "rows": 5}
    without_triggers(tmp_path, "UPDATE audit SET user = 'eve' WHERE id = 2")
    assert main(["line", "verify-log", str(tmp_path), "--head", head]) == 2
    assert "row 2: it was changed" in capsys.readouterr().err


def test_what_cannot_be_a_table_is_refused(tmp_path: Path) -> None:
    exported(tmp_path)
    with pytest.raises(OptionError, match=r"csv or \.parquet"):
        export_log(tmp_path, tmp_path / "v.xlsx")
    with pytest.raises(OptionError, match="since 'yesterday'"):
        export_log(tmp_path, tmp_path / "v.csv", since="yesterday")
    with pytest.raises(OutputError):
        export_log(tmp_path, tmp_path / "no" / "v.csv")
    (tmp_path / "line.toml").write_text(
        '[[camera]]\nname = "top"\nsource = "folder"\nbundle = "b"\n[[sink]]\nkind = "file"\n'
    )
    with pytest.raises(OptionError, match="no \\[log\\]"):
        export_log(tmp_path / "line.toml", tmp_path / "v.csv")
    assert not list(tmp_path.glob(".v*"))
