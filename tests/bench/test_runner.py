"""A fake experiment in fake systems, through the runner, the report and the comparison."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import explained, host, plots, report, samples
from bench.__main__ import main
from bench.compare import changes, told
from bench.found import asked, experiments, systems
from bench.page import OURS, page
from bench.runner import Runner
from bench.systems.dmtcp import SOURCES, Dmtcp
from harness.fake_bench import FakeExperiment, FakeSystem
from harness.world import ROOT

KEY = ("fake", "one", "cost")


def ran(*made: FakeSystem, rounds: int = 3) -> tuple[Runner, FakeExperiment]:
    runner, experiment = Runner({s.name: s for s in made}, rounds=rounds), FakeExperiment()
    runner.run(experiment)
    assert not any(system.is_up for system in made)
    return runner, experiment


def test_rounds_interleave_systems_and_ratios_are_of_a_round():
    runner, experiment = ran(FakeSystem("native", [1, 2, 4]), FakeSystem("other", [3, 4, 40]))
    assert [cost for _, cost in experiment.asked] == [1, 3, 2, 4, 4, 40]
    assert runner.results.ratios(KEY, "other") == [3, 2, 10]
    assert [sample.load >= 0 for sample in runner.results.samples] == [True] * 6


def test_a_wrong_answer_voids_its_sample_alone():
    runner, _ = ran(FakeSystem("native", [1, -1, 3]))
    assert [sample.value for sample in runner.results.samples] == [1, 3]
    (void,) = runner.results.voids
    assert (void.why, void.round, void.said) == ("wrong", 1, "2 + 2 = 5")


def test_what_refuses_once_is_not_asked_again():
    runner, experiment = ran(FakeSystem("native", [1, 1, 1]), FakeSystem("other", [0, 7, 7]))
    assert [cost for _, cost in experiment.asked] == [1, 0, 1, 1]
    assert [(v.system, v.why, v.said) for v in runner.results.voids] == [
        ("other", "refused", "not today")
    ]


def test_a_missing_system_is_told_with_the_line_that_gets_it():
    runner, _ = ran(FakeSystem("native", [1, 1, 1]), FakeSystem("gone", [], "apt-get install gone"))
    text = report.report(runner.results, {"fake": FakeExperiment()}, {}, {})
    assert "- gone: `apt-get install gone`" in text
    assert "gone" not in runner.results.run["versions"]


@pytest.mark.parametrize(
    ("apt", "line"),
    [
        ("dmtcp:\n  Candidate: 3.0-1\n", "apt-get install dmtcp"),
        (
            "dmtcp:\n  Candidate: (none)\n",
            f"no package of this distribution, build it from {SOURCES}",
        ),
        ("", f"no package of this distribution, build it from {SOURCES}"),
    ],
)
def test_a_line_that_would_not_work_is_not_told(tmp_path: Path, monkeypatch, apt: str, line: str):
    command = tmp_path / "apt-cache"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{apt}END\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(Dmtcp, "programs", ("no-such-program",))
    assert Dmtcp().missing() == line


def test_a_system_that_does_not_come_up_is_told():
    class Broken(FakeSystem):
        def up(self, place: Path):
            raise OSError("no such thing as a free lunch")

    runner, _ = ran(FakeSystem("native", [1, 1, 1]), Broken("broken", []))
    assert len(runner.results.samples) == 3
    assert "free lunch" in report.terminal(runner.results, "fake")


def test_the_report_has_every_number_with_its_spread():
    words = FakeSystem("other", [2, 4, 8])
    words.words = "under emulation"  # known when it is asked for the first time
    runner, experiment = ran(FakeSystem("native", [1, 2, 4]), words)
    text = report.report(
        runner.results, {"fake": experiment}, {"other": words}, {"fake": ["a.svg"]}
    )
    assert "## A fake (under emulation)" in text
    assert "| one | cost, ms | **2** (1 to 4; 3) | **4** (2 to 8; 3) ×2 |" in text
    assert "![fake](a.svg)" in text and "a fake other" in text and "Load average" in text
    assert "other" in report.terminal(runner.results, "fake")


def test_samples_are_read_as_they_were_written(tmp_path: Path):
    runner, _ = ran(FakeSystem("native", [1, -1, 4]))
    samples.write(runner.results, tmp_path)
    again = samples.read(tmp_path)
    assert again == runner.results
    with pytest.raises(SystemExit, match="holds no results"):
        samples.read(tmp_path / "nothing")


def test_a_comparison_tells_what_differs_and_leaves_chance_alone():
    same = [float(n) for n in range(1, 9)]
    before, _ = ran(FakeSystem("native", same), FakeSystem("other", same), rounds=8)
    slower = [n + 100 for n in same]
    after, _ = ran(FakeSystem("native", same), FakeSystem("other", slower), rounds=8)
    text = told(changes(before.results, after.results))
    assert text.startswith("2 figures are in both; 1 differ")
    assert re.search(r"more +23\.\d+  fake/one/cost, other: 4\.5 to 104\.5 ms \(n 8, 8", text)
    assert "native" not in text


def test_drawings_are_made_of_every_sample(tmp_path: Path):
    if not plots.drawable():
        assert plots.draw(samples.Results(), tmp_path) == {}
        return
    runner, _ = ran(FakeSystem("native", [1, 2, 4]), FakeSystem("other", [2, 4, 8]))
    assert plots.draw(runner.results, tmp_path) == {"fake": ["fake-ms-0.svg"]}
    assert "<svg" in (tmp_path / "fake-ms-0.svg").read_text()


def test_every_system_and_experiment_says_what_it_is():
    for name, system in systems().items():
        assert system.about, name
        assert not system.programs or system.packages, f"{name}: what installs it?"
    for name, experiment in experiments().items():
        assert experiment.title and experiment.about and experiment.cases(True), name
    assert [*systems()][:3] == ["native", "zaptrace-fresh", "zaptrace-moved"]


def test_names_are_taken_in_their_order():
    assert [*asked(["b", "a"], {"a": 1, "b": 2}, "thing")] == ["b", "a"]
    with pytest.raises(SystemExit, match="no thing is called c; there are a, b"):
        asked(["c"], {"a": 1, "b": 2}, "thing")


def test_cases_are_chosen_by_a_part_of_their_name():
    for only, count in ((["on"], 3), (["two", "ne"], 3), (["two"], 0)):
        runner = Runner({"native": FakeSystem("native", [1, 2, 3])}, rounds=3, only=only)
        runner.run(FakeExperiment())
        assert len(runner.results.samples) == count


def test_results_of_several_runs_are_one(tmp_path: Path):
    """What was measured twice has all of its rounds, each with its own base."""
    a, _ = ran(FakeSystem("native", [1, 2]), FakeSystem("other", [2, 4]), rounds=2)
    b, _ = ran(FakeSystem("native", [10]), FakeSystem("third", [40]), rounds=1)
    a.results.run["commit"], b.results.run["commit"] = "aaa", "bbb"
    whole = samples.joined([a.results, b.results])
    assert whole.ratios(KEY, "other") == [2, 2] and whole.ratios(KEY, "third") == [4]
    assert sorted(s.value for s in whole.of(KEY, "native")) == [1, 2, 10]
    assert whole.systems() == ["native", "other", "third"]
    assert [*whole.run["versions"]] == ["native", "other", "third"]
    samples.write(whole, tmp_path)
    assert samples.read(tmp_path) == whole
    text = report.report(whole, {}, {}, {})
    assert "zaptrace aaa" in text and "zaptrace bbb" in text
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / samples.PACKED).write_bytes(lzma.compress((tmp_path / samples.NAME).read_bytes()))
    assert samples.read(packed) == whole


def test_a_run_says_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The tree too when it belongs to somebody else."""
    run = Runner({}).results.run
    assert f"nice {os.getpriority(os.PRIO_PROCESS, 0)}" in report.host_of(run)
    monkeypatch.setenv(host.COMMIT, "told")
    assert host.facts()["commit"] == "told"
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    monkeypatch.delenv(host.COMMIT)
    monkeypatch.setattr(host, "ROOT", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=b", "-c", "user.email=b@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert re.fullmatch(r"[0-9a-f]{7,}", host.facts()["commit"])


def test_the_page_is_what_the_command_makes_of_the_results_beside_it():
    """`python -m bench page bench/measured >docs/performance.md`."""
    made = page(samples.read(ROOT / "bench" / "measured"), experiments(), systems())
    assert made == (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for path in explained.PLACE.glob("*.md"):
        assert path.stem in (*experiments(), "profiles"), path


def test_the_page_tells_first_where_others_are_ahead():
    runner = Runner({}, rounds=3)
    systems = {"native": 1.0, OURS: 10.0, "rival": 5.0, "qemu-server": 20.0}
    runner.results.run["systems"] = [*systems]
    for name, cost in systems.items():
        for experiment, case, figure in (
            ("run_cost", "all", "getppid"),
            ("applications", "build", "seconds"),
            ("suspend", "1 GiB", "suspend"),
        ):
            sample = samples.Sample(experiment, case, name, 0, figure, "ms", cost, 0.5)
            runner.results.samples.append(sample)
    for experiment, case in (("run_cost", "all"), ("suspend", "1 GiB"), ("suspend", "1 GiB")):
        runner.results.voids.append(samples.Void(experiment, case, "rival", 0, "refused", "no"))
    runner.results.voids.append(samples.Void("suspend", "desktop", "slow", 0, "late", "yet"))
    told = page(runner.results, experiments(), {})
    first, _, rest = told.partition("\n## ")
    assert "rival in 1 of 1 figures, most in getppid (5 ms, we 10 ms)" in first
    assert "qemu-server" not in first and explained.explained("run_cost").splitlines()[0] in first
    assert "| build, seconds, ms | 1 | 10 ×10 | 5 ×5 | 20 ×20 |" in rest
    assert "| 1 GiB | 0.01 / 0.02 | - / - | - / - |" in rest
    assert "- getppid, zaptrace-fresh: 10 times" in rest
    assert "- rival, refused: no (run_cost, suspend: 1 GiB)" in rest
    assert "Load average beside the samples: 0.50 to 0.50." in rest
    assert "0 of 1 calls take at most a tenth more than natively" in rest
    del runner.results.samples[2 * 3 :]
    assert "No rival of this run is ahead" in page(runner.results, {}, {})


def test_a_table_names_the_runs_that_it_is_of():
    a, _ = ran(FakeSystem("native", [1]), rounds=1)
    b, _ = ran(FakeSystem("native", [1]), rounds=1)
    c, _ = ran(FakeSystem("native", [1]), rounds=1)
    for one, words in ((a, ["start"]), (b, ["--all"]), (c, ["fake", "--all"])):
        one.results.run["command"] = ["bench", *words]
    known = experiments() | {"fake": FakeExperiment()}
    told = page(samples.joined([a.results, b.results, c.results]), known, {})
    assert "Made by `bench --all`, `bench fake --all`. Load" in told


def test_results_are_compared_and_told_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, costs in (("a", [1, 2, 3]), ("b", [11, 12, 13])):
        runner, _ = ran(FakeSystem("native", costs))
        (tmp_path / name).mkdir()
        samples.write(runner.results, tmp_path / name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")

    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["bench", *words])
        assert main() == 0
        return capsys.readouterr().out

    assert said("compare", a, b).startswith("1 figures are in both; 0 differ")  # three each
    assert said("page", a, b).startswith("# Performance\n\nNo rival")
    assert said("join", str(tmp_path / "c"), a, b) == f"{tmp_path}/c/report.md\n"
    assert len(samples.read(tmp_path / "c").samples) == 6
    for words in (["compare", a], ["page"], ["join", a]):
        monkeypatch.setattr("sys.argv", ["bench", *words])
        with pytest.raises(SystemExit, match=f"usage: python -m bench {words[0]}"):
            main()
