"""Signatures: what is signed by a trusted key passes, and everything else is refused by its own error."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

import edgead
from edgead import errors
from edgead.bundle import Note, add_revision, read_bundle
from edgead.bundle.signing import Claim, sign_bundle
from edgead.cli import main
from edgead.trust import Trust, demand, floors
from edgead.trust.keys import make_keys, read_private, read_public

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
FRAME = np.zeros((40, 40, 3), np.uint8)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys qa and other."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("qa", "other"):
        make_keys(folder / f"{name}.key", folder / f"{name}.pub")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "part.edgead"))


@pytest.fixture(autouse=True)
def no_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (demand.KEYS, demand.LINE, demand.STATE):
        monkeypatch.delenv(name, raising=False)


def files(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def signature(path: Path) -> Path:
    (found,) = (path / "signatures").iterdir()
    return found


def statement(path: Path) -> dict:
    return {
        "bundle": hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest(),
        "revision": "", "lessons": "", "serial": 4, "line": "L1", "by": "a program of its own",
        "when": "2020-11-30T08:15:00Z", "expires": None, "gates": ["parity"], "format": 1,
    }  # fmt: skip


def write_by_hand(path: Path, key: Ed25519PrivateKey, said: dict) -> Path:
    """A signature as docs/trust.md describes it, made without edgead's code."""
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    document = {
        "statement": said,
        "key": hashlib.sha256(public).hexdigest(),
        "signature": key.sign(b"edgead statement, format 1\n" + canonical).hex(),
    }
    content = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    file = path / "signatures" / f"{hashlib.sha256(content).hexdigest()[:32]}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def private(keys: Path, name: str = "qa") -> Ed25519PrivateKey:
    key = load_pem_private_key((keys / f"{name}.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


# ---------------------------------------------------------------- what passes


def test_a_signed_bundle_is_accepted_and_its_own_files_stay_as_they_were(bundle: Path, keys: Path) -> None:
    before = files(bundle)
    _, signed = sign_bundle(bundle, keys / "qa.key", Claim(7, "L1", "anna", "2099-01-31", ("parity",)))
    after = files(bundle)
    added = set(after) - set(before)
    assert before == {name: after[name] for name in before}
    assert len(added) == 1 and added.pop().startswith("signatures/")
    accepted = read_bundle(bundle, trust=Trust(keys / "qa.pub")).signed
    assert accepted is not None and accepted.statement == signed.statement
    assert signed.statement.expires == "2099-01-31T23:59:59Z" and signed.statement.serial == 7
    detector = edgead.load(bundle, trust=keys / "qa.pub")
    assert detector(FRAME).score == edgead.load(GOLDEN)(FRAME).score
    assert (
        detector.bundle.unchecked == () and edgead.load(bundle).bundle.notices == read_bundle(GOLDEN).notices
    )


def test_a_signature_made_by_another_program_is_read_and_what_edgead_signs_another_program_verifies(
    bundle: Path, keys: Path
) -> None:
    write_by_hand(bundle, private(keys), statement(bundle))
    signed = read_bundle(bundle, trust=Trust(keys / "qa.pub")).signed
    assert signed is not None and signed.statement.by == "a program of its own"
    shutil.rmtree(bundle / "signatures")
    sign_bundle(bundle, keys / "qa.key")
    document = json.loads(signature(bundle).read_text())
    canonical = json.dumps(document["statement"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    content = b"edgead statement, format 1\n" + canonical.encode()
    private(keys).public_key().verify(bytes.fromhex(document["signature"]), content)


def test_promoting_is_one_more_signature(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "other.key", Claim(3, gates=("lab",)))
    before = files(bundle)
    with pytest.raises(errors.ForeignSignatureError):
        edgead.load(bundle, trust=keys / "qa.pub")
    sign_bundle(bundle, keys / "qa.key", Claim(gates=("line trial",)))
    after = files(bundle)
    assert all(after[name] == before[name] for name in before) and len(after) == len(before) + 1
    for key in ("qa", "other"):
        assert edgead.load(bundle, trust=keys / f"{key}.pub").bundle.signed is not None
    assert edgead.load(bundle, trust=keys).bundle.signed.statement.serial == 3  # the folder: either will do
    with pytest.raises(errors.KeyFileError, match=r"no \*\.pub"):
        Trust(bundle)


def test_openssl_reads_the_keys(keys: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl isn't here")
    told = subprocess.run(
        ["openssl", "pkey", "-in", str(keys / "qa.key"), "-pubout"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == (keys / "qa.pub").read_text()


# ---------------------------------------------------------------- what is refused


def test_an_unsigned_bundle_is_refused_wherever_the_device_demands_a_signature(
    bundle: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv(demand.KEYS, str(keys / "qa.pub"))
    image = str(bundle / "probes" / "000.png")
    for name in ("good", "bad"):
        (tmp_path / "set" / name).mkdir(parents=True)
        shutil.copy(image, tmp_path / "set" / name)
    for words in (
        ["run", str(bundle), image],
        ["eval", str(bundle), str(tmp_path / "set")],
        ["compare", str(bundle), str(bundle), "--dataset", str(tmp_path / "set")],
        ["export", str(bundle), "--target", "onnx"],
        ["calibrate", str(bundle), "--threshold", "3"],
        ["calibrate", str(bundle), "--undo"],
        ["teach", str(bundle), "--missed", image],
        ["verify", str(bundle)],
        ["bench", str(bundle)],
    ):
        assert main(words) == 3, words
        assert "no signature" in capsys.readouterr().err, words
    for call in (
        lambda: edgead.load(bundle),
        lambda: edgead.verify(bundle),
        lambda: edgead.calibrate(bundle, threshold=3.0),
        lambda: edgead.teach(bundle, missed=FRAME),
        lambda: edgead.read_bundle(bundle),
    ):
        with pytest.raises(errors.UnsignedError):
            call()
    assert main(["inspect", str(bundle)]) == 0  # to be looked at
    assert main(["calibrate", str(bundle), "--revisions"]) == 0
    assert files(bundle) == files(GOLDEN)


def test_a_signature_of_another_bundle_is_foreign(bundle: Path, keys: Path) -> None:
    said = {**statement(bundle), "bundle": "0" * 64}
    write_by_hand(bundle, private(keys), said)
    with pytest.raises(errors.ForeignSignatureError, match="for another bundle"):
        edgead.load(bundle, trust=keys / "qa.pub")


def test_another_line_s_signature_is_refused(bundle: Path, keys: Path, monkeypatch) -> None:
    for line in ("L1", ""):
        shutil.rmtree(bundle / "signatures", ignore_errors=True)
        sign_bundle(bundle, keys / "qa.key", Claim(line=line))
        with pytest.raises(errors.WrongLineError):
            edgead.load(bundle, trust=Trust(keys / "qa.pub", line="L2"))
        assert edgead.load(bundle, trust=keys / "qa.pub").bundle.signed is not None
        monkeypatch.setenv(demand.LINE, "L2")
        with pytest.raises(errors.WrongLineError):
            edgead.load(bundle, trust=keys / "qa.pub")
        monkeypatch.delenv(demand.LINE)
    sign_bundle(bundle, keys / "qa.key", Claim(line="L2"))
    assert edgead.load(bundle, trust=Trust(keys / "qa.pub", line="L2")).bundle.signed is not None


def test_an_expired_signature_and_a_clock_before_it_are_refused(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "qa.key", Claim(expires="2098-05-01"))
    read = read_bundle(bundle, demanded=False)
    subject = edgead.bundle.reading.subject_of(read)
    trust = Trust(keys / "qa.pub")

    def at(*when: int) -> datetime.datetime:
        return datetime.datetime(*when, tzinfo=datetime.timezone.utc)  # type: ignore[arg-type,misc]

    assert demand.accept(subject, trust, at(2098, 5, 1, 23, 59, 59)).key.id == trust.public[0].id
    for now, why in ((at(2098, 5, 2), "expired on 2098-05-01"), (at(1970, 1, 1), "set the clock")):
        with pytest.raises(errors.ExpiredError, match=why):
            demand.accept(subject, trust, now)
    write_by_hand(
        bundle, private(keys), {**statement(bundle), "serial": 9, "expires": "2020-01-01T00:00:00Z"}
    )
    with pytest.raises(errors.OptionError, match="over already"):
        sign_bundle(bundle, keys / "qa.key", Claim(expires="2020-01-01"))


@pytest.mark.parametrize("expires", [None, "2100-01-01T00:00:00Z"])
def test_a_statement_from_the_future_is_refused_with_an_end_or_without(
    bundle: Path, keys: Path, expires: str | None, monkeypatch
) -> None:
    said = {**statement(bundle), "when": "2099-01-02T00:00:00Z", "expires": expires}
    write_by_hand(bundle, private(keys), said)
    trust = Trust(keys / "qa.pub")
    with pytest.raises(errors.ExpiredError, match=r"over a day before it was signed .*: set the clock"):
        edgead.load(bundle, trust=trust)
    monkeypatch.setenv(demand.KEYS, str(keys / "qa.pub"))
    assert main(["verify", str(bundle)]) == 3
    subject = edgead.bundle.reading.subject_of(read_bundle(bundle, demanded=False))
    signed = datetime.datetime(2099, 1, 2, tzinfo=datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    assert demand.accept(subject, trust, signed - day).statement.when == said["when"]
    with pytest.raises(errors.ExpiredError):
        demand.accept(subject, trust, signed - day - datetime.timedelta(seconds=1))


def test_the_first_of_all_days_is_long_ago(bundle: Path, keys: Path) -> None:
    write_by_hand(bundle, private(keys), {**statement(bundle), "when": "0001-01-01T00:00:00Z"})
    assert edgead.load(bundle, trust=keys / "qa.pub").bundle.signed is not None


def test_a_lower_serial_number_than_the_last_accepted_is_a_replay(
    bundle: Path, keys: Path, tmp_path: Path, monkeypatch
) -> None:
    older = Path(shutil.copytree(bundle, tmp_path / "older.edgead"))
    sign_bundle(older, keys / "qa.key", Claim(4, "L1"))
    sign_bundle(bundle, keys / "qa.key", Claim(5, "L1"))
    monkeypatch.setenv(demand.KEYS, str(keys / "qa.pub"))
    monkeypatch.setenv(demand.STATE, str(tmp_path / "accepted.json"))
    edgead.load(older)
    edgead.load(bundle)
    edgead.load(bundle)
    with pytest.raises(errors.ReplayedError, match="serial 4 for line 'L1' is under 5"):
        edgead.load(older)
    other = Path(shutil.copytree(GOLDEN, tmp_path / "other.edgead"))
    sign_bundle(other, keys / "qa.key", Claim(1, "L2"))  # each line counts by itself
    edgead.load(other)
    assert json.loads((tmp_path / "accepted.json").read_text())["lines"]["L1"]["serial"] == 5
    (tmp_path / "accepted.json").write_text("{}")
    with pytest.raises(errors.TrustStateError, match=r"accepted\.json: not the serial"):
        edgead.load(bundle)
    monkeypatch.setenv(demand.STATE, str(tmp_path / "absent" / "accepted.json"))
    with pytest.raises(errors.OutputError):
        edgead.load(bundle)


def test_what_the_device_went_back_to_is_no_replay(tmp_path: Path) -> None:
    def said(serial: int, by: str) -> floors.Mark:
        return floors.Mark("L1", serial, by)

    file = tmp_path / "accepted.json"
    floors.raise_floor(file, said(8, "new"))
    with floors.allowed_back(file, said(7, "before")):
        floors.check_floor(file, said(7, "before"))
    floors.check_floor(file, said(7, "before"))
    floors.raise_floor(file, said(7, "before"))  # which lowers nothing
    for other in (said(7, "another"), said(6, "older")):
        with pytest.raises(errors.ReplayedError):
            floors.check_floor(file, other)
    floors.raise_floor(file, said(8, "new"))
    with pytest.raises(errors.ReplayedError):  # forward again: the exception is over
        floors.check_floor(file, said(7, "before"))


def test_a_number_is_kept_before_its_bundle_has_its_place_and_taken_back_where_it_gets_none(
    tmp_path: Path,
) -> None:
    file = tmp_path / "accepted.json"
    new, now, older = floors.Mark("L1", 9, "new"), floors.Mark("L1", 8, "now"), floors.Mark("L1", 7, "older")
    for known in (None, now):
        if known is not None:
            floors.raise_floor(file, known)
        before = file.read_bytes() if file.exists() else None
        with pytest.raises(ZeroDivisionError), floors.raised_floor(file, new, known):
            if known is not None:
                floors.check_floor(file, now)  # which is current until the new one is
            with pytest.raises(errors.ReplayedError):
                floors.check_floor(file, older)
            raise ZeroDivisionError
        assert (file.read_bytes() if file.exists() else None) == before
        with pytest.raises(ZeroDivisionError), floors.allowed_back(file, older):
            raise ZeroDivisionError
        assert (file.read_bytes() if file.exists() else None) == before
        assert [path.name for path in tmp_path.iterdir()] == ([file.name] if before else [])
    with floors.raised_floor(file, new, now):
        pass
    floors.raise_floor(file, new)
    with pytest.raises(errors.ReplayedError):
        floors.check_floor(file, now)


def test_every_flipped_bit_of_a_signature_is_refused(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "qa.key", Claim(1, "L1", "anna", "2099-01-31", ("parity",)))
    file = signature(bundle)
    content = file.read_bytes()
    trust, digest = Trust(keys / "qa.pub"), statement(bundle)["bundle"]
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            names = (f"{hashlib.sha256(changed).hexdigest()[:32]}.json", file.name)
            for name in names[: 1 + (bit == 0)]:
                file.unlink(missing_ok=True)
                (file.parent / name).write_bytes(changed)
                subject = demand.Subject(bundle, digest, "", "", (f"signatures/{name}",))
                with pytest.raises(errors.TrustError):
                    demand.accept(subject, trust)
                (file.parent / name).unlink()
    file.write_bytes(content)
    assert read_bundle(bundle, trust=trust).signed is not None


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"more": 1}, "'statement.more' is unknown"),
        ({"serial": -1}, "'serial'"),
        ({"serial": True}, "serial"),
        ({"by": "a\x1b[31m"}, "'by'"),
        ({"line": "x" * 201}, "'line'"),
        ({"when": "yesterday"}, "'when'"),
        ({"when": "2026-13-41T08:15:00Z"}, "'when'"),
        ({"expires": "2099-01-01"}, "'expires'"),
        ({"gates": ["g"] * 65}, "'gates'"),
        ({"format": 2}, "'format'"),
        ({"bundle": "A" * 64}, "'bundle'"),
        ({"gates": {"a": 1}}, "gates"),
    ],
)
def test_a_statement_that_edgead_would_not_write_is_damaged(
    bundle: Path, keys: Path, change: dict, wanted: str
) -> None:
    write_by_hand(bundle, private(keys), {**statement(bundle), **change})
    with pytest.raises(errors.StatementError, match=wanted):
        edgead.load(bundle, trust=keys / "qa.pub")
    assert edgead.load(bundle).bundle.signed is None  # nobody demanded it


def test_odd_files_of_signatures_are_damage(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "qa.key")
    content, file = signature(bundle).read_bytes(), signature(bundle)
    twice = content.replace(b'"serial"', b'"serial":1,"serial"')
    dense = json.dumps(json.loads(content)).encode()
    odds = (b"", b"{}", b"[]", content[:-1], content + b"\n", content * 2, b"\xff" * 70_000, dense, twice)
    for odd in odds:
        file.unlink()
        file = file.with_name(f"{hashlib.sha256(odd).hexdigest()[:32]}.json")
        file.write_bytes(odd)
        with pytest.raises(errors.StatementError, match=file.name):
            edgead.load(bundle, trust=keys / "qa.pub")


def test_too_many_signatures_are_refused_unread(bundle: Path, keys: Path) -> None:
    for serial in range(demand.MAX_SIGNATURES + 1):
        write_by_hand(bundle, private(keys), {**statement(bundle), "serial": serial})
    with pytest.raises(errors.StatementError, match="32 are the most"):
        edgead.load(bundle, trust=keys / "qa.pub")
    with pytest.raises(errors.InputError, match="remove old ones"):
        sign_bundle(bundle, keys / "qa.key")


def test_no_flipped_bit_of_a_signed_bundle_s_files_passes(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "qa.key")
    trust = Trust(keys / "qa.pub")
    for name, step in (("manifest.json", 5), ("model.onnx", 40), ("held-out.f32", 3), ("probes/000.png", 9)):
        content = (bundle / name).read_bytes()
        for place in range(0, len(content), step):
            changed = bytearray(content)
            changed[place] ^= 1 << (place // step) % 8
            (bundle / name).write_bytes(changed)
            with pytest.raises(errors.BundleError):
                read_bundle(bundle, trust=trust)
        (bundle / name).write_bytes(content)
    assert read_bundle(bundle, trust=trust).signed is not None


# ---------------------------------------------------------------- revisions and lessons


def revise(path: Path, score: float) -> None:
    read = read_bundle(path)
    changed = dataclasses.replace(read.manifest.threshold, score=score, rule="given")
    add_revision(read, {"default": changed}, Note("someone", "because"))


def test_revised_thresholds_need_a_signature_of_their_own(bundle: Path, keys: Path) -> None:
    trust = Trust(keys / "qa.pub")
    sign_bundle(bundle, keys / "qa.key", Claim(line="L1"))
    revise(bundle, 70.0)
    with pytest.raises(errors.UnsignedChangeError, match="its thresholds changed"):
        edgead.load(bundle, trust=trust)
    sign_bundle(bundle, keys / "qa.key", Claim(line="L1"))
    detector = edgead.load(bundle, trust=trust)
    assert detector.threshold == 70.0 and detector.bundle.signed.statement.serial == 2  # counted up
    (bundle / "revisions" / "0001.json").unlink()  # what was signed before isn't in force again by that
    with pytest.raises(errors.UnsignedChangeError):
        edgead.load(bundle, trust=trust)


def test_lessons_need_a_signature_of_their_own(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "qa.key")
    read = read_bundle(bundle, trust=Trust(keys / "qa.pub"))
    subject = edgead.bundle.reading.subject_of(read)
    taught = dataclasses.replace(subject, lessons="1" * 64)
    with pytest.raises(errors.UnsignedChangeError, match="what it was taught changed"):
        demand.accept(taught, Trust(keys / "qa.pub"))


def test_nothing_is_revised_or_taught_where_signatures_are_demanded(
    bundle: Path, keys: Path, monkeypatch, capsys
) -> None:
    sign_bundle(bundle, keys / "qa.key")
    before = files(bundle)
    demanding = read_bundle(bundle, trust=Trust(keys / "qa.pub"))
    with pytest.raises(errors.UnsignedChangeError, match="demanded here"):
        add_revision(demanding, {}, Note("someone"))
    with pytest.raises(errors.UnsignedChangeError, match="demanded here"):
        edgead.teach(edgead.load(bundle, trust=keys / "qa.pub"), missed=FRAME)
    monkeypatch.setenv(demand.KEYS, os.pathsep.join([str(keys / "other.pub"), str(keys / "qa.pub")]))
    assert main(["calibrate", str(bundle), "--threshold", "3"]) == 3
    assert main(["teach", str(bundle), "--missed", str(bundle / "probes" / "000.png")]) == 3
    assert capsys.readouterr().err.count("signatures are demanded here") == 2
    assert main(["calibrate", str(bundle), "--threshold", "3", "--dry-run"]) == 0
    assert files(bundle) == before
    detector = edgead.load(bundle)
    monkeypatch.delenv(demand.KEYS)
    with pytest.raises(errors.UnsignedError, match="demanded a signature"):
        detector.with_thresholds(read_bundle(bundle))
    assert detector.with_thresholds(read_bundle(bundle, trust=Trust(keys))).threshold == 100


# ---------------------------------------------------------------- keys and words


def test_a_private_key_is_for_its_owner_and_may_have_a_passphrase(tmp_path: Path, capsys) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("open sesame\n")
    phrase.chmod(0o600)
    words = ["keys", "new", "qa", "--out", str(tmp_path), "--passphrase-file", str(phrase)]
    assert main(words) == 0
    key = tmp_path / "qa.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and b"ENCRYPTED PRIVATE KEY" in key.read_bytes()
    assert main(words) == 7  # nothing is written over
    assert read_private(key, b"open sesame")
    for given, why in ((None, "needs a passphrase"), (b"wrong", "passphrase is wrong")):
        with pytest.raises(errors.KeyFileError, match=why):
            read_private(key, given)
    key.chmod(0o640)
    with pytest.raises(errors.KeyFileError, match="chmod 600"):
        read_private(key, b"open sesame")
    (tmp_path / "qa.pub").chmod(0o666)
    with pytest.raises(errors.KeyFileError, match=r"can be written by others \(chmod go-w "):
        Trust(tmp_path / "qa.pub")
    capsys.readouterr()


def test_what_is_no_ed25519_key_is_refused(tmp_path: Path, keys: Path) -> None:
    rsa = generate_private_key(65537, 1024)
    secret = tmp_path / "rsa.key"
    secret.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.chmod(0o600)
    public = tmp_path / "rsa.pub"
    public.write_bytes(rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    empty = tmp_path / "empty.pub"
    empty.write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.pub")
    with pytest.raises(errors.KeyFileError, match="not an Ed25519 key"):
        read_private(secret)
    for path in (
        public,
        empty,
        keys / "qa.key",
        tmp_path / "none.pub",
        tmp_path / "pipe.pub",
        Path("/dev/zero"),
    ):
        with pytest.raises(errors.KeyFileError, match=str(path)):
            read_public([path])
    for nothing in ([], ""):
        with pytest.raises(errors.KeyFileError):
            Trust(nothing)
    with pytest.raises(errors.OptionError):
        Trust(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", os.pathsep])
def test_a_demand_that_names_no_key_is_an_error_and_no_leave(bundle: Path, value: str, monkeypatch) -> None:
    monkeypatch.setenv(demand.KEYS, value)
    with pytest.raises(errors.KeyFileError, match="names no key"):
        edgead.load(bundle)
    monkeypatch.setenv(demand.KEYS, str(bundle / "nowhere.pub"))
    with pytest.raises(errors.KeyFileError, match=r"nowhere\.pub"):
        edgead.load(bundle)


def test_sign_and_verify_on_the_command_line(bundle: Path, keys: Path, capsys) -> None:
    words = ["sign", str(bundle), "--key", str(keys / "qa.key"), "--line", "L1", "--gate", "a", "--gate", "b"]
    assert main([*words, "--by", "anna", "--serial", "2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["serial"], made["gates"], made["by"], made["line"]) == (2, ["a", "b"], "anna", "L1")
    assert main(["verify", str(bundle)]) == 0 and "1 signature unchecked" in capsys.readouterr().out
    check = ["verify", str(bundle), "--key", str(keys / "qa.pub")]
    assert main([*check, "--line", "L1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["signed"]["serial"] == 2
    assert main([*check, "--line", "L2"]) == 3
    assert main(["verify", str(bundle), "--key", str(keys / "other.pub"), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)[0]
    assert told["ok"] is False and told["kind"] == "ForeignSignatureError"
    assert main(["verify", str(bundle), "--line", "L1"]) == 2
    assert main(["sign", str(GOLDEN.with_name("v1.edgead")), "--key", str(keys / "qa.key")]) == 2
    for bad in ("tomorrow", "2026-02-30", "2026-1-1"):
        assert main(["sign", str(bundle), "--key", str(keys / "qa.key"), "--expires", bad]) == 2
    assert edgead.verify(bundle, trust=keys / "qa.pub").signed.statement.by == "anna"
    assert "signed by anna" in repr(edgead.verify(bundle, trust=keys / "qa.pub"))


def test_nothing_is_imported_before_a_signature_is_demanded_and_a_missing_package_is_named(
    bundle: Path, keys: Path
) -> None:
    sign_bundle(bundle, keys / "qa.key")
    root = Path(edgead.__file__).parents[1]
    code = (
        "import sys, edgead\n"
        f"edgead.load({str(bundle)!r})\n"
        "assert not any(name.startswith('cryptography') for name in sys.modules)\n"
        "sys.modules['cryptography'] = None\n"
        f"try: edgead.load({str(bundle)!r}, trust={str(keys / 'qa.pub')!r})\n"
        "except edgead.errors.MissingDependencyError as error: print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert 'pip install "edgead[sign]"' in done.stdout, done.stderr


def test_the_page_s_code_runs_from_top_to_bottom_and_names_every_error(tmp_path: Path) -> None:
    root = Path(edgead.__file__).parents[1]
    page = (root / "docs" / "trust.md").read_text("utf-8")
    shutil.copytree(GOLDEN, tmp_path / "part.edgead")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for told in ("anna 7", "none of these keys is trusted here", "trial None", "self-test passed"):
        assert told in done.stdout
    for error in errors.TrustError.__subclasses__():
        assert f"`{error.__name__}`" in page
    for option in re.findall(r"edgead \w+[^`\n]*?(--[a-z-]+)", page):
        assert f"`{option}`" in (root / "docs" / "cli.md").read_text("utf-8"), option


@pytest.mark.parametrize("name", [demand.LINE, demand.STATE])
def test_a_line_or_a_file_of_numbers_without_keys_is_an_error_and_no_leave(
    bundle: Path, name: str, monkeypatch
) -> None:
    monkeypatch.setenv(name, "L1")
    with pytest.raises(errors.KeyFileError, match=f"{name} is set and {demand.KEYS} isn't"):
        edgead.load(bundle)
    monkeypatch.setenv(demand.KEYS, str(bundle / "nowhere"))
    with pytest.raises(errors.KeyFileError, match=f"^{demand.KEYS}: "):
        edgead.load(bundle)


def test_an_end_beside_a_signature_without_one_is_told(bundle: Path, keys: Path, capsys) -> None:
    words = ["sign", str(bundle), "--key", str(keys / "qa.key")]
    assert main([*words, "--serial", "3"]) == 0
    assert "hold as well" not in capsys.readouterr().out
    assert main(["inspect", str(bundle), "--json"]) == 0
    assert '"unchecked_signatures": 1' in capsys.readouterr().out
    assert main([*words, "--expires", "2099-01-31"]) == 0
    assert "1 other signature of this bundle with serial 3 hold as well" in capsys.readouterr().out
    assert main([*words, "--expires", "2099-02-01", "--json"]) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["notices"]] == ["signatures-beside"]
    assert main([*words, "--expires", "2099-02-01", "--serial", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notices"] == []


def test_who_revises_a_signed_bundle_is_told_that_the_signature_does_not_cover_it(
    bundle: Path, keys: Path, capsys
) -> None:
    words = ["calibrate", str(bundle), "--threshold", "3"]
    assert main(words) == 0
    assert "doesn't cover that" not in capsys.readouterr().err
    sign_bundle(bundle, keys / "qa.key")
    assert main([*words, "--product", "blue"]) == 0
    assert "doesn't cover that: sign it again" in capsys.readouterr().err
    assert main(["inspect", str(bundle)]) == 0
    assert "the threshold of blue was revised" in capsys.readouterr().out
    assert main(["calibrate", str(bundle), "--undo", "--json"]) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["notices"]] == ["signature-outdated"]


def test_a_public_key_to_sign_with_is_told_from_a_private_one_with_open_rights(
    bundle: Path, keys: Path
) -> None:
    with pytest.raises(errors.KeyFileError, match="a public key: give its private half"):
        sign_bundle(bundle, keys / "qa.pub")
