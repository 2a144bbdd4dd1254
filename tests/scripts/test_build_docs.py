"""Building the site: what counts as a warning, and where the descriptions of fields come from. CI builds it whole."""

import build_docs
import pytest


def test_what_the_docstring_reader_complains_about_is_a_warning():
    output = "Build started\ngriffe: src/a.py:6: Parameter 'b' does not appear in the signature\nNo issues found\n"
    assert build_docs.complaints(output) == ["griffe: src/a.py:6: Parameter 'b' does not appear in the signature"]
    assert build_docs.complaints("Build started\nNo issues found\nBuild finished in 2.12s\n") == []


def test_the_comment_behind_a_field_describes_it(tmp_path):
    pytest.importorskip("griffe", reason="only `make docs` needs it")
    from field_comments import comments

    file = tmp_path / "fields.py"
    file.write_text('class A:\n    b: int = 0  # in bytes\n    c: str = "#"\n    d = 1  # type: ignore[x]\n')
    assert comments(file) == {2: "in bytes"}
