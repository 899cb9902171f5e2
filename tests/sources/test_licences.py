"""Licences of sources: lists, files under any spelling, and what license_link names."""

import json
from pathlib import Path

import pytest

from hubbot.checkpoints import FileInfo
from hubbot.folders import Folder
from hubbot.sources.licences import LARGEST, is_licence_file, licence_files
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import converted, judged, look, rehash
from tests.reference.checkpoints import case, write


@pytest.mark.parametrize(
    "path",
    [
        "LICENSE", "License.txt", "LICENSE.md", "license", "licence.rst", "MODEL_LICENSE", "LICENSE-MODEL",
        "LICENSE.qwen", "Qwen-LICENSE", "LICENSES/Apache-2.0.txt", "licenses/LICENSE", "a/b/COPYING", "NOTICE.txt",
        "Notice.txt", "COPYING", "COPYING.LESSER", "USE_POLICY.md", "Acceptable_Use_Policy.pdf",
        "THIRD-PARTY-NOTICES", "使用协议.txt", "EULA.pdf", "LICENSE AGREEMENT.txt", "a/b/c/LICENSE",
        "third_party/x/y/z/License.md", "ModelLicense.txt", "modellicense.txt", "GemmaTermsOfUse.txt", "UNLICENSE",
        "Terms.md", "TERMS_OF_USE.html", "legal.txt", "LEGAL_NOTICE", "Acceptable-Use.md", "OpenRAIL-M.txt",
        "CommunityLicenseAgreement.pdf", "llama3_license.rtf", "License (English).docx", "LICENCE.TXT",
        "license.PDF", "模型许可协议.pdf", "使用条款.md", "利用規約.txt", "ライセンス.txt", "라이선스.md",
        "docs/licence/mit.txt", "LICENSE.openmdw", "COPYRIGHT", "CopyRight.txt",
    ],
)  # fmt: skip
def test_terms_of_use_are_known_under_any_spelling(path: str) -> None:
    assert is_licence_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "LICENSE.py", "licenses/setup.py", "license.json", "LICENSE.safetensors", "legalese.bin",
        "sublicensed.txt", "README.md", "licenses/README.md", ".git/LICENSE", "tokenizer.json", "../LICENSE",
        "/LICENSE", "license.zip", "model.safetensors", "", "unnoticed.txt", "determs.txt", "trail.txt",
        "midterms.txt", "railway.txt", "paralegal.txt", "examples/license.ipynb", "a/.git/LICENSE",
        "licenses/README.MD",
    ],
)  # fmt: skip
def test_what_runs_or_is_no_licence_is_not_taken(path: str) -> None:
    assert not is_licence_file(path)


@pytest.mark.parametrize(
    ("link", "taken"),
    [
        ("words.txt", "words.txt"),
        ("./words.txt", "words.txt"),
        ("words.txt#part-2", "words.txt"),
        ("legal/deep/er/still/words.txt", "legal/deep/er/still/words.txt"),
        ("our%20words.txt", "our words.txt"),
        ("https://huggingface.co/a/b/blob/main/words.txt", "words.txt"),
        ("https://huggingface.co/a/b/resolve/main/words.txt?download=true", "words.txt"),
        ("blob/main/words.txt", "words.txt"),
        ("https://huggingface.co/A/B/blob/main/words.txt", "words.txt"),
        ("https://huggingface.co/other/b/blob/main/words.txt", None),
        ("https://example.com/words.txt", None),
        ("run.py", None),
        ("config.json", None),
        ("README.md", None),
        ("../words.txt", None),
        (["words.txt"], "words.txt"),
        (7, None),
        ("http://[broken", None),
    ],
)
def test_what_license_link_names_goes_along_if_it_is_a_file_of_the_repo(link: object, taken: str | None) -> None:
    paths = ("words.txt", "our words.txt", "legal/deep/er/still/words.txt", "run.py", "config.json", "README.md")
    files = tuple(FileInfo(path=path, size=1) for path in (*paths, "../words.txt"))
    found = [file.path for file in licence_files("a/b", {"license_link": link}, files)]
    assert found == ([taken] if taken else [])


def test_a_huge_file_is_no_licence() -> None:
    assert licence_files("a/b", {}, (FileInfo(path="LICENSE", size=LARGEST + 1),)) == ()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = write(case("qwen3_moe/hub"), tmp_path / "source")
    for path in ("License.txt", "licenses/Apache-2.0.txt", "legal/terms/ours.txt", "legal/other.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"words of {path}")
    (folder / "README.md").write_text("---\nlicense: other\nlicense_link: legal/terms/ours.txt\n---\n")
    return folder


def test_the_artifact_holds_every_licence_and_the_referee_looks_for_them(source: Path, tmp_path: Path) -> None:
    found = look(source)
    made = converted(found, tmp_path / "out", "bf16")["bf16"]
    for path in ("License.txt", "licenses/Apache-2.0.txt", "legal/terms/ours.txt"):
        assert (made / path).read_bytes() == (source / path).read_bytes()
    assert not (made / "legal/other.txt").exists()
    listed = {file["path"] for file in json.loads((made / "hubbot.json").read_text())["files"]}
    assert {"License.txt", "licenses/Apache-2.0.txt", "legal/terms/ours.txt"} <= listed
    assert judged(found, made).gates["structure"] == "pass"


@pytest.mark.parametrize("path", ["License.txt", "licenses/Apache-2.0.txt", "legal/terms/ours.txt"])
@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_a_licence_that_is_lost_or_changed_is_refused(
    source: Path, tmp_path: Path, path: str, damage: str
) -> None:
    found = look(source)
    made = converted(found, tmp_path / "out", "bf16")["bf16"]
    (made / path).unlink() if damage == "lost" else (made / path).write_text("other words")
    rehash(made)
    report = judged(found, made)
    assert any(finding.check == "side files" and finding.subject == path for finding in report.failures)


def test_an_unreadable_card_is_kept_as_a_problem(source: Path) -> None:
    (source / "README.md").write_bytes(b"---\r\nlicense: [\r\n---\r\n")
    found = inspect(Folder(source))
    assert found.card == {}
    assert found.card_problem is not None
    assert type(found).from_json(found.to_json()) == found
