"""What a new broker copies from the template: a formatted folder under ids of its own."""

from pathlib import Path

import pytest

from deploy.local.template import Template


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """As formatted once, without an AOT cache."""
    log = tmp_path / "template" / "log"
    log.mkdir(parents=True)
    (log / "bootstrap.checkpoint").write_bytes(b"features")
    (log / "meta.properties").write_text("cluster.id=one\ndirectory.id=two\nnode.id=1\nversion=1\n")
    return Template(tmp_path / "template")


def ids(log_dir: Path) -> dict[str, str]:
    lines = (log_dir / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_each_copy_has_a_cluster_id_and_a_directory_id_of_its_own(template: Template, tmp_path: Path) -> None:
    copies = [tmp_path / f"log{number}" for number in range(20)]
    for copy in copies:
        template.copy_to(copy)
        assert (copy / "bootstrap.checkpoint").read_bytes() == b"features"
        assert ids(copy).keys() == {"cluster.id", "directory.id", "node.id", "version"}
    made = [ids(copy)[name] for copy in copies for name in ("cluster.id", "directory.id")]
    assert len(set(made)) == 40
    assert all(len(one) == 22 and not one.startswith("-") for one in made)


def test_a_copy_that_was_cut_short_is_made_again(template: Template, tmp_path: Path) -> None:
    (tmp_path / "log.new").mkdir()
    (tmp_path / "log.new" / "half").touch()
    template.copy_to(tmp_path / "log")
    assert sorted(path.name for path in tmp_path.glob("log*")) == ["log"]
    assert not (tmp_path / "log" / "half").exists()


def test_without_an_aot_cache_none_is_named(template: Template) -> None:
    assert not any("AOT" in option for option in template.options)
    (template.folder / "classes.aot").touch()
    assert f"-XX:AOTCache={template.folder / 'classes.aot'}" in template.options
