#!/usr/bin/env python3
"""Checks the workflows of docs/ci.md: that they parse, that their steps are what GitHub and GitLab accept, that every
shell step is a valid script, and that every deciban command in them has only options which that command knows.

  scripts/check_ci_docs.py BUILD [--run FOLDER]

BUILD is a built tree (build/release).  --run also runs the GitHub workflow's deciban steps, as they stand, in FOLDER with
BUILD in the place of both checkouts' builds (their checkouts and builds are left out), and says how each ended.
Needs python3-yaml.
"""
import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEP_KEYS = {"name", "id", "if", "uses", "with", "run", "shell", "env", "working-directory", "continue-on-error",
             "timeout-minutes"}
JOB_KEYS = {"name", "needs", "runs-on", "container", "timeout-minutes", "steps", "if", "env", "strategy", "permissions",
            "services", "outputs", "concurrency", "defaults"}
TOP_KEYS = {"name", "on", "permissions", "env", "defaults", "concurrency", "jobs", "run-name"}
GITLAB_KEYS = {"image", "rules", "variables", "script", "before_script", "after_script", "artifacts", "stage", "needs",
               "tags", "timeout", "cache", "services", "retry"}
problems = []


def complain(text):
    problems.append(text)


def only(found, known, where):
    for key in set(found) - known:
        complain(f"{where}: unknown key '{key}'")


def check_shell(text, where):
    """The script's syntax, with expressions of the CI put aside."""
    plain = re.sub(r"\$\{\{.*?\}\}", "EXPRESSION", text)
    result = subprocess.run(["bash", "-n"], input=plain, text=True, capture_output=True)
    if result.returncode:
        complain(f"{where}: {result.stderr.strip()}")
    return plain


def check_commands(text, build, where):
    """Every option of every deciban command is one that its help names."""
    count = 0
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or not words[0].endswith("bin/deciban"):
            continue
        command = [w for w in words[1:3] if re.fullmatch(r"[a-z]+", w)]
        shown = subprocess.run([build / "bin/deciban", *command, "--help"], text=True, capture_output=True)
        if shown.returncode:
            complain(f"{where}: there is no command 'deciban {' '.join(command)}'")
        for option in [w for w in words if w.startswith("--")]:
            if option not in re.findall(r"--[a-z-]+", shown.stdout):
                complain(f"{where}: 'deciban {' '.join(command)}' has no option {option}")
        count += 1
    return count


def check_github(flow, build):
    only(flow, TOP_KEYS - {"on"} | {True}, "github")  # YAML 1.1 reads the key 'on' as true
    if True not in flow:
        complain("github: no 'on'")
    commands = 0
    for name, job in flow["jobs"].items():
        only(job, JOB_KEYS, f"github job {name}")
        for key in ("runs-on", "steps"):
            if key not in job:
                complain(f"github job {name}: no '{key}'")
        for step in job["steps"]:
            where = f"github step '{step.get('name')}'"
            only(step, STEP_KEYS, where)
            if ("run" in step) == ("uses" in step):
                complain(f"{where}: needs either 'run' or 'uses'")
            if "uses" in step and not re.fullmatch(r"[\w.-]+/[\w./-]+@[\w.-]+", step["uses"]):
                complain(f"{where}: '{step['uses']}' names no version")
            if "run" in step:
                commands += check_commands(check_shell(step["run"], where), build, where)
    return commands


def check_gitlab(flow, build):
    commands = 0
    for name, job in flow.items():
        only(job, GITLAB_KEYS, f"gitlab job {name}")
        script = "\n".join(job["script"])
        commands += check_commands(check_shell(script, f"gitlab job {name}"), build, f"gitlab job {name}")
    return commands


def run_steps(flow, build, folder):
    """The steps with a deciban command, in order, as GitHub would: each in its folder, by bash -e -o pipefail."""
    folder.mkdir(parents=True, exist_ok=True)
    for side in ("head", "base"):
        (folder / side / "build").mkdir(parents=True, exist_ok=True)
        links = {entry.name: entry for entry in ROOT.iterdir() if entry.name != "build"}
        for name, target in {**links, "build/release": build}.items():
            if not (folder / side / name).exists():
                (folder / side / name).symlink_to(target)
    summary = folder / "step_summary.md"
    environment = dict(os.environ, GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true", CI="true")
    for job in flow["jobs"].values():
        for step in job["steps"]:
            if "bin/deciban " not in step.get("run", "") or "cmake" in step["run"]:
                continue
            place = folder / step.get("working-directory", ".")
            result = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["run"]], cwd=place, env=environment)
            print(f"step '{step['name']}': exit code {result.returncode}", flush=True)
            if result.returncode not in (0, 4):  # 4 is the gate's finding, not a fault of the workflow
                complain(f"step '{step['name']}' ended with exit code {result.returncode}")
        for step in job["steps"]:
            for path in step.get("with", {}).get("path", "").split() if "upload" in step.get("uses", "") else []:
                if not (folder / path).exists():
                    complain(f"'{path}' is uploaded and was not written")
    if not summary.exists() or not summary.read_text().strip():
        complain("nothing was written to the step's summary")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--run", type=pathlib.Path, metavar="FOLDER")
    options = parser.parse_args()
    build = options.build.resolve()
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/ci.md").read_text(), re.M | re.S)
    flows = [yaml.safe_load(block) for block in blocks]
    github = [f for f in flows if "jobs" in f]
    gitlab = [f for f in flows if "jobs" not in f]
    if len(github) != 1 or len(gitlab) != 1:
        sys.exit(f"docs/ci.md: {len(github)} workflows for GitHub and {len(gitlab)} for GitLab where one each is expected")
    commands = check_github(github[0], build) + check_gitlab(gitlab[0], build)
    if commands < 4:
        complain(f"only {commands} deciban commands were found")
    if options.run:
        run_steps(github[0], build, options.run.resolve())
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{commands} deciban commands in 2 workflows, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
