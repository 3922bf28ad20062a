"""Jobs, chains and their outcomes."""

from __future__ import annotations

import subprocess
import sys
from itertools import count

import pytest

from builder.errors import OperationFailed
from builder.pipeline.messages import Job
from builder.pipeline.supervisor import Supervisor
from tests.pipeline.conftest import job


def chain(*names, **payload):
    return Job("chain", tuple(f"steps_for_tests:{name}" for name in names), payload)


def test_a_value_comes_back_with_its_key_and_time(run_one):
    outcome = run_one(job("echo", key="seven", text="päir", numbers=[1, 2.5, None]))
    assert outcome.value == {"text": "päir", "numbers": [1, 2.5, None]}
    assert outcome.rejection is None
    assert 0 < outcome.seconds < 10
    assert outcome.stderr_tail == ""


def test_each_step_gets_the_payload_under_what_the_step_before_returned(run_one):
    assert run_one(chain("add_one", "add_one", "add_one", count=0)).value == {"count": 3}
    assert run_one(chain("add_one", "echo", count=0, kept=1)).value == {"count": 1, "kept": 1}
    # What only_first returned reaches the second step, not the third.
    assert run_one(chain("only_first", "nothing", "echo", kept=1)).value == {"kept": 1}


def test_a_returned_rejection_ends_the_chain(run_one):
    outcome = run_one(chain("rejecting", "segfault"))
    assert outcome.rejection == {
        "stage": "rewrite",
        "kind": "by_hand",
        "message": "no",
        "extra": 7,
        "deterministic": True,
    }


def test_a_returned_rejection_is_completed(run_one):
    rejection = run_one(chain("half_rejecting")).rejection
    assert (rejection["stage"], rejection["kind"]) == ("worker", "by_hand")
    assert rejection["deterministic"] is True


def test_every_step_has_a_fresh_process(workers):
    with workers() as supervisor:
        (chained,) = supervisor.run([chain("remember", "remember")])
        outcomes = list(supervisor.run([job("remember", key=str(i)) for i in range(3)]))
    values = [chained.value, *(outcome.value for outcome in outcomes)]
    assert [value["seen"] for value in values] == [0] * 4
    assert len({value["pid"] for value in values}) == 4
    assert [value["warmed_up"] for value in values] == [1] * 4


def test_jobs_are_taken_only_when_a_worker_is_free(workers):
    taken = []

    def endless():
        for number in count():
            taken.append(number)
            yield job("echo", key=str(number), n=number)

    with workers(2) as supervisor:
        stream = supervisor.run(endless())
        assert taken == []
        seen = [next(stream).value["n"] for _ in range(6)]
        assert len(taken) <= 6 + 2
        stream.close()
    assert set(seen) <= set(taken)
    assert len(set(seen)) == 6


def test_the_caller_can_end_the_stream(workers):
    wanted = True

    def until_told():
        number = 0
        while wanted:
            yield job("echo", key=str(number))
            number += 1

    keys = []
    with workers(2) as supervisor:
        for outcome in supervisor.run(until_told()):
            keys.append(outcome.key)
            wanted = len(keys) < 5
    assert 5 <= len(keys) <= 7
    assert sorted(keys, key=int) == [str(number) for number in range(len(keys))]


def test_two_workers_share_the_jobs_and_none_is_lost(workers):
    with workers(2) as supervisor:
        outcomes = list(supervisor.run(job("echo", key=str(i), n=i) for i in range(20)))
    assert sorted(outcome.value["n"] for outcome in outcomes) == list(range(20))
    assert all(outcome.key == str(outcome.value["n"]) for outcome in outcomes)


def test_a_slow_job_does_not_hold_up_others(workers):
    jobs = [job("hang", key="slow"), *(job("echo", key=str(i)) for i in range(5))]
    with workers(2, deadline_s=1.0) as supervisor:
        keys = [outcome.key for outcome in supervisor.run(jobs)]
    assert keys == ["0", "1", "2", "3", "4", "slow"]


def test_no_jobs_give_no_outcomes(workers):
    with workers() as supervisor:
        assert list(supervisor.run([])) == []


def test_large_payloads_and_results_get_through(workers):
    text = "x" * (3 << 20)
    with workers() as supervisor:
        (there,) = supervisor.run([job("echo", text=text)])
        (back,) = supervisor.run([job("return_large", length=20 << 20)])
    assert there.value == {"text": text}
    assert len(back.value["text"]) == 20 << 20


def test_output_is_kept_for_diagnosis(run_one):
    outcome = run_one(job("print_and_fail"))
    assert outcome.rejection["kind"] == "internal_error"
    assert "printed first\n" in outcome.stderr_tail
    assert "to stderr\n" in outcome.stderr_tail
    assert "not text" in outcome.stderr_tail


def test_a_module_that_cannot_be_preloaded_stops_the_run_with_the_reason(workers):
    with (
        workers(preload=("failing_preload",)) as supervisor,
        pytest.raises(OperationFailed, match="ImportError: this module needs something"),
    ):
        list(supervisor.run([job("echo")]))


def test_a_server_that_dies_while_it_starts_stops_the_run_with_its_output(workers):
    with (
        workers(preload=("dying_preload",)) as supervisor,
        pytest.raises(OperationFailed, match="cannot start: dying of it"),
    ):
        list(supervisor.run([job("echo")]))


def test_a_preload_that_leaves_threads_is_refused(workers):
    with (
        workers(preload=("threaded_preload",)) as supervisor,
        pytest.raises(OperationFailed, match="left 2 threads running"),
    ):
        list(supervisor.run([job("echo")]))


def test_a_progress_bar_in_a_warm_up_leaves_no_thread(run_one):
    assert run_one(job("echo", x=1), preload=("progress_preload",)).value == {"x": 1}


def test_a_supervisor_can_be_used_again_after_its_stream_was_closed(workers):
    with workers() as supervisor:
        stream = supervisor.run(job("echo", key=str(i)) for i in count())
        next(stream)
        stream.close()
        (outcome,) = supervisor.run([job("echo", key="again")])
    assert outcome.key == "again"


def test_at_least_one_worker_is_needed():
    with pytest.raises(ValueError, match="at least one"):
        Supervisor(0)


def test_the_supervising_process_imports_no_torch():
    script = "import sys, builder.pipeline.supervisor; print({'torch', 'triton'} & {*sys.modules})"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
