"""The command under test as a process: what it answers, and until it is ready."""

import os
import subprocess

COMMAND = os.environ.get("COMMAND_UNDER_TEST", "shadowserve")


def clean_environment(**more):
    """Without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWSERVE_")}
    return kept | more


def run(*arguments, timeout_s=60, **environment):
    """Exit code, standard output and standard error."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=timeout_s, check=False,
        env=clean_environment(**environment))
    return done.returncode, done.stdout, done.stderr


def start(test, *arguments, **more):
    """Runs until it is told to stop, or its test ends; what it says on either stream can be read from it. `more`: for Popen."""
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **{"env": clean_environment()} | more)
    for undo in (process.stdout.close, process.wait, process.kill):
        test.addCleanup(undo)
    return process


def until_ready(test, process):
    """What it has said up to the line with "ready"."""
    said = ""
    while "ready" not in said:
        line = process.stdout.readline()
        test.assertTrue(line, said)
        said += line
    return said
