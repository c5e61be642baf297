"""The AWS CLI by its own main function: a start of the program for each call would take a second."""

import contextlib
import io
import json
import sys
from unittest import mock

import awscli.clidriver
import botocore.session
from botocore import xform_name

models = {name: botocore.session.get_session().get_service_model(name) for name in ["kinesis", "firehose"]}
operations = {(service, xform_name(name, "-")): name for service in models for name in models[service].operation_names}
called = set()


def run(words):
    """The exit code and what was printed, as the program would."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["aws", "--endpoint-url", sys.argv[1], "--output", "json", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(sys, "argv", argv):
        code = awscli.clidriver.main()
    return code, out.getvalue(), err.getvalue()


def aws(line, *more):
    """Runs words that are separated by blanks, and `more` as they are; returns the answer."""
    words = [*line.split(), *more]
    code, out, err = run(words)
    assert code == 0, f"{words}: {code} {out}{err}"
    called.add(f"{words[0]}:{operations.get((words[0], words[1]), words[1])}")
    return json.loads(out) if out.strip() else None


def refused(kind, line, *more):
    code, out, err = run([*line.split(), *more])
    assert code == 255 and f"({kind})" in err, f"{line}: {code} {out}{err}"
    return err


def report():
    """Says which operations were called and had answered well. The last line that a script prints."""
    print("called", *sorted(name for name in called if not name.endswith(":wait")))
