"""The option string of an overlay mount, and what older kernels get of it."""

from __future__ import annotations

from pathlib import Path

from pyodcr.lifecycle.storage import overlay

UPPER, WORK = Path("/c/diff"), Path("/c/work")


def test_the_features_that_spoil_diffs_are_off() -> None:
    text = overlay.options(["/a", "/b"], UPPER, WORK)
    assert text == "lowerdir=/a:/b,upperdir=/c/diff,workdir=/c/work,redirect_dir=off,metacopy=off,index=off"


def test_special_characters_are_escaped() -> None:
    text = overlay.options(["/a:b", "/c,d\\e"], Path("/u:,"), WORK)
    assert text.startswith("lowerdir=/a\\:b:/c\\,d\\\\e,upperdir=/u\\:\\,,")


def test_a_label_is_quoted_for_its_commas() -> None:
    text = overlay.options(["/a"], UPPER, WORK, label="system_u:object_r:container_file_t:s0:c1,c2", volatile=True)
    assert text.endswith(',volatile,context="system_u:object_r:container_file_t:s0:c1,c2"')


def test_an_old_kernel_gets_only_what_it_knows(tmp_path: Path) -> None:
    """4.13: redirect_dir and index, but no metacopy, whose absence is as good as off."""
    (tmp_path / "redirect_dir").touch()
    (tmp_path / "index").touch()
    text = overlay.options(["/a"], UPPER, WORK, volatile=True)
    assert overlay.without_unknown(text, tmp_path).endswith("workdir=/c/work,redirect_dir=off,index=off")


def test_what_a_kernel_knows_is_never_left_out(tmp_path: Path) -> None:
    """Its default may be on, and would spoil every diff."""
    for name in ("redirect_dir", "index", "metacopy"):
        (tmp_path / name).touch()
    text = overlay.options(["/a"], UPPER, WORK)
    assert overlay.without_unknown(text, tmp_path) == text
