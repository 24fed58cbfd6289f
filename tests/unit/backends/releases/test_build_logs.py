from __future__ import annotations

from aerodrome.backends.releases import build_logs
from aerodrome.backends.releases.build_logs import COMPONENTS, KEPT, LONGEST, BuildLog
from aerodrome.release.building import BuildStep


def built(*steps: tuple[str, list[str]]) -> BuildLog:
    log = BuildLog()
    for name, lines in steps:
        log.report(BuildStep(name))
        for line in lines:
            log.on_line(line)
        log.report(BuildStep(name, 1.25, "from wheels"))
    return log


def test_each_component_has_a_file_for_the_script_and_one_for_the_requirements(tmp_path):
    log = built(
        ("plugins", ["of nobody"]),
        ("startup", ["hello"]),
        ("resolve", ["Resolved 3 packages from https://user:secret@index.example/simple"]),
        ("install", ["Installed 3 packages"]),
    )
    log.report(BuildStep("try"))
    log.failed("the plugin x cannot be loaded:\nValueError")
    build_logs.write(tmp_path / "builds", log, epoch=7)
    for component in COMPONENTS:
        script = tmp_path / "builds" / component / "startup_script_execution_127.0.0.1_7.log"
        assert script.read_text() == "hello\nFinished running startup script. Execution time: 1.2s.\n"
        requirements = script.with_name("requirements_install_127.0.0.1_7.log").read_text().splitlines()
        assert requirements == [
            "Resolved 3 packages from https://***@index.example/simple",
            "Installed 3 packages",
            "Requirements installed from wheels.",
            "ERROR: the plugin x cannot be loaded: ValueError",
        ]


def test_a_build_without_requirements_has_no_file_of_them():
    log = BuildLog(has_requirements=False)
    for name in ("startup", "install"):
        log.report(BuildStep(name))
        log.report(BuildStep(name, 1.0, "from wheels"))
    assert list(log.lines) == ["startup_script_execution"]


def test_files_are_bounded_in_size_and_number(tmp_path):
    log = built(("startup", ["x" * 1000] * 2000))
    assert log.lines["startup_script_execution"][-2] == "More was printed, and is left out."
    for epoch in range(10, 10 + 2 * KEPT):
        build_logs.write(tmp_path, log, epoch=epoch)
    files = sorted(path.name for path in (tmp_path / "worker").iterdir())
    assert len(files) == KEPT
    assert files[-1].endswith(f"_{9 + 2 * KEPT}.log")
    assert (tmp_path / "worker" / files[0]).stat().st_size <= LONGEST + 200


def test_a_disk_that_takes_nothing_fails_no_build(tmp_path):
    (tmp_path / "builds").write_text("in the way")
    build_logs.write(tmp_path / "builds", built(("startup", ["a"])), epoch=1)
