"""Steps that hang, crash, eat or attack: each ends in a rejection and leaves nothing behind."""

from __future__ import annotations

import time

import pytest

from builder.pipeline import supervisor as supervisor_module
from tests.pipeline.conftest import is_alive, job, pids_in, wait_until


def summary(outcome):
    rejection = outcome.rejection
    return rejection["stage"], rejection["kind"], rejection["deterministic"]


def assert_all_gone(pids, expected):
    found = pids_in(pids)
    assert len(found) == expected
    assert wait_until(lambda: not any(is_alive(pid) for pid in found), 2.0)


@pytest.mark.parametrize(("step", "stage"), [("hang", "capture"), ("spin", "worker")])
def test_a_step_that_hangs_is_killed_at_its_deadline(run_one, step, stage):
    outcome = run_one(job(step), deadline_s=1.0)
    assert summary(outcome) == (stage, "deadline", False)
    assert outcome.rejection["message"].endswith("raise --deadline, with another --out")
    assert 1.0 <= outcome.seconds < 2.5


def test_a_hanging_family_is_killed_whole(run_one, pids):
    outcome = run_one(job("hang_with_family", pids=str(pids)), deadline_s=1.0)
    assert summary(outcome) == ("capture", "deadline", False)
    assert_all_gone(pids, 4)


def test_processes_left_by_a_step_that_succeeds_are_killed(run_one, pids):
    outcome = run_one(job("leave_family", pids=str(pids)))
    assert outcome.value == {"left": True}
    assert_all_gone(pids, 3)


@pytest.mark.parametrize("status", [0, 3])
def test_an_exit_without_a_result(run_one, status):
    outcome = run_one(job("exit_without_result", status=status))
    assert summary(outcome) == ("worker", "exited", True)
    assert f"status {status} and no result" in outcome.rejection["message"]
    assert outcome.stderr_tail == "about to leave\n"


def test_sys_exit_is_an_exit(run_one):
    outcome = run_one(job("exit_python"))
    assert summary(outcome) == ("worker", "exited", True)
    assert "SystemExit(4)" in outcome.rejection["message"]


@pytest.mark.parametrize(
    ("step", "name", "expected"),
    [
        ("segfault", "SIGSEGV", ("verify", "crashed", True)),
        ("abort", "SIGABRT", ("worker", "crashed", True)),
        ("kill_itself", "SIGKILL", ("worker", "crashed", False)),
    ],
)
def test_a_crash_is_named_by_its_signal(run_one, step, name, expected):
    outcome = run_one(job(step))
    assert summary(outcome) == expected
    assert name in outcome.rejection["message"]


def test_a_crash_shows_where_python_was(run_one):
    assert "in segfault" in run_one(job("segfault")).stderr_tail


def test_memory_without_end_is_stopped(run_one):
    outcome = run_one(job("eat_memory"), memory_bytes=200 << 20)
    assert summary(outcome) == ("verify", "memory", False)
    assert outcome.rejection["message"].endswith("raise --memory, with another --out")


def test_memory_of_children_counts(run_one):
    outcome = run_one(job("eat_memory_in_children"), memory_bytes=200 << 20)
    assert summary(outcome) == ("worker", "memory", False)


def test_forks_without_end_are_stopped_by_the_memory_they_hold(run_one):
    outcome = run_one(job("fork_without_end"), memory_bytes=200 << 20)
    assert summary(outcome) == ("worker", "memory", False)


def test_one_huge_allocation_fails_before_it_is_resident(run_one):
    outcome = run_one(job("allocate_at_once", bytes=8 << 30), memory_bytes=200 << 20)
    assert summary(outcome) == ("worker", "memory", False)


def test_an_allocation_within_the_limit_succeeds(run_one):
    outcome = run_one(job("allocate_at_once", bytes=100 << 20), memory_bytes=200 << 20)
    assert outcome.value == {"length": 100 << 20}


def test_a_gigabyte_of_prints_is_read_and_forgotten(run_one):
    outcome = run_one(job("print_gigabyte"))
    assert outcome.value == {"printed": True}
    assert outcome.stderr_tail.endswith("the end of it\n")
    assert len(outcome.stderr_tail) <= 1 << 14


def test_a_file_cannot_grow_without_end(run_one):
    outcome = run_one(job("fill_file"))
    assert outcome.rejection["kind"] == "internal_error"
    assert "File too large" in outcome.rejection["message"]


def test_limits_are_those_of_the_step(run_one):
    limits = run_one(job("limits"), memory_bytes=200 << 20).value
    assert limits["RLIMIT_CORE"] == 0
    assert limits["RLIMIT_FSIZE"] == 256 << 20
    assert limits["RLIMIT_NOFILE"] == 1024
    assert 400 << 20 < limits["RLIMIT_AS"] < 3 << 30


def test_a_locked_folder_is_removed(run_one):
    assert run_one(job("lock_folder")).value is not None


def test_a_killed_server_costs_only_the_job_that_killed_it(run_one):
    outcome = run_one(job("kill_parent"))
    assert summary(outcome) == ("execute", "crashed", False)
    assert "worker was killed by SIGKILL" in outcome.rejection["message"]


def test_a_killed_server_leaves_no_family(run_one, pids):
    outcome = run_one(job("kill_parent_leaving_family", pids=str(pids)))
    assert summary(outcome) == ("worker", "crashed", False)
    assert_all_gone(pids, 3)


def test_a_killed_guard_leaves_no_family(run_one, pids):
    outcome = run_one(job("kill_guard_leaving_family", pids=str(pids)))
    assert summary(outcome) == ("worker", "crashed", False)
    assert_all_gone(pids, 1)


def test_other_jobs_go_on_when_a_server_is_killed(workers):
    jobs = [job("kill_parent", key="bad"), *(job("echo", key=str(i)) for i in range(8))]
    with workers(2) as supervisor:
        outcomes = {outcome.key: outcome for outcome in supervisor.run(jobs)}
    assert outcomes.pop("bad").rejection["kind"] == "crashed"
    assert len(outcomes) == 8
    assert all(outcome.value is not None for outcome in outcomes.values())


def test_a_stopped_server_is_given_up(run_one, monkeypatch):
    monkeypatch.setattr(supervisor_module, "SILENCE_S", 1.0)
    outcome = run_one(job("stop_parent"), deadline_s=1.0)
    assert summary(outcome) == ("execute", "deadline", False)


def test_a_rejected_keeps_stage_kind_and_message(run_one):
    outcome = run_one(job("raise_rejected"))
    assert outcome.rejection == {
        "stage": "capture",
        "kind": "no_kernel",
        "message": "nothing to capture; give it an operation",
        "deterministic": True,
    }


def test_any_other_exception_is_a_rejection_too(run_one):
    outcome = run_one(job("raise_other"))
    assert summary(outcome) == ("verify", "internal_error", True)
    message = outcome.rejection["message"]
    assert message.startswith("KeyError: 'the missing key' (steps_for_tests.py, line ")
    assert message.endswith('raise KeyError("the missing key"))')


def test_an_exception_without_text_is_not_lost(run_one):
    message = run_one(job("raise_unprintable")).rejection["message"]
    assert message.startswith("_Unprintable: <no text: RuntimeError> (")


def test_messages_do_not_differ_between_runs(run_one):
    messages = {run_one(job("raise_with_place")).rejection["message"] for _ in range(2)}
    assert len(messages) == 1
    assert "ValueError: in tmp/file.py at <object object at 0x...>" in messages.pop()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("return_set", "TypeError: Object of type set is not JSON serializable"),
        ("return_list", "TypeError: the step returned list, not a dict"),
        ("return_too_much", "allowed"),
        ("no_such_function", "AttributeError: module 'steps_for_tests' has no attribute"),
    ],
)
def test_what_is_no_result_is_a_rejection(run_one, step, text):
    outcome = run_one(job(step))
    assert summary(outcome) == ("worker", "internal_error", True)
    assert text in outcome.rejection["message"]


def test_a_step_has_no_descriptor_of_the_worker_but_its_result_pipe(run_one):
    assert run_one(job("count_pipes")).value == {"pipes": 1}


@pytest.mark.parametrize(
    "step",
    [
        "write_garbage",
        "write_deep_nesting",
        "write_gigabytes",
        "write_stages",
        "write_wrong_result",
    ],
)
def test_garbage_in_the_result_pipe_ends_the_step(run_one, step):
    outcome = run_one(job(step))
    assert outcome.rejection["kind"] == "bad_result"


def test_a_step_that_closes_its_pipes_and_lives_on_meets_its_deadline(run_one):
    outcome = run_one(job("close_pipe_and_hang"), deadline_s=1.0)
    assert summary(outcome) == ("worker", "deadline", False)


def test_a_step_that_closes_its_pipe_and_returns_has_no_result(run_one):
    started = time.monotonic()
    outcome = run_one(job("close_pipe_and_return"))
    assert summary(outcome) == ("worker", "exited", True)
    assert time.monotonic() - started < 5
