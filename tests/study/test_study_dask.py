"""The same on a Dask cluster: nothing twice, nothing lost, trouble is one clear line."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

import records as made_up
import study_runs as runs
from dralign.errors import DralignWarning, OptionError, StudyError
from dralign.study import Ledger, TrialSpec, identify, run_study, runner, scheduler
from dralign.study import cluster as study_cluster

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

SPECS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(40)]


def cluster(**options):
    return distributed.LocalCluster(
        processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50, **options
    )


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "study.sqlite") as ledger:
        yield ledger


def test_a_worker_of_two_that_is_killed_costs_no_trial(ledger):
    seen = []
    with cluster(n_workers=2, threads_per_worker=1) as two:
        with distributed.Client(two, set_as_default=False) as client:
            victim = next(iter(client.run(os.getpid).values()))

        def kill_one(record):
            seen.append(record)
            if len(seen) == 7:
                os.kill(victim, signal.SIGKILL)

        address = two.scheduler_address
        outcome = run_study(SPECS, ledger, dask=address, run=runs.short, on_record=kill_one)
        assert (outcome.done, outcome.failed, len(seen)) == (40, (), 40)
        again = run_study(SPECS, ledger, dask=address, run=runs.short)
        assert (again.done, again.skipped) == (0, 40)
    records = ledger.records()
    assert sorted(record.hash for record in records) == sorted(identify(SPECS))
    assert {record.environment["threads"] for record in records} == {"1"}
    assert all(record.history == made_up.history(record.spec) for record in records)


def test_threads_of_one_worker_take_turns_and_results_stay_the_same(ledger, tmp_path):
    with (
        Ledger(tmp_path / "other.sqlite") as other,
        cluster(n_workers=1, threads_per_worker=3) as one,
    ):
        with pytest.warns(DralignWarning, match="several threads, a trial uses one"):
            run_study(SPECS[:6], ledger, dask=one.scheduler_address, run=runs.gap_fails)
        run_study(SPECS[:6], other, jobs=1, run=runs.gap_fails)
        assert [r.history for r in ledger.records()] == [r.history for r in other.records()]


def test_a_cluster_of_its_own_names_the_trial_that_kills_its_worker(ledger):
    outcome = run_study(SPECS[:4], ledger, jobs=2, dask="local", run=runs.dies)
    assert outcome.done == 3
    (failed,) = outcome.failed
    assert failed.spec.seed == 2
    assert failed.error.startswith("the worker process died 4 times, at last with no other trial")


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKS", str(tmp_path))
    monkeypatch.setattr(runner, "TELL_SECONDS", 5.0)
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 15.0)


STOPPED = r"the trial erm, seed 2 \(.*\) has given no sign of life for \d+ s \(worker tls://"


def test_a_stopped_worker_of_its_own_is_replaced_and_its_trial_tried_again(ledger, impatient):
    seen = []
    with pytest.warns(DralignWarning, match=STOPPED):
        outcome = run_study(
            SPECS, ledger, jobs=2, dask="local", run=runs.stops_once, on_record=seen.append
        )
    assert (outcome.done, outcome.failed, len(seen)) == (40, (), 40)
    assert all(record.history == made_up.history(record.spec) for record in ledger.records())


def test_the_late_answer_of_a_worker_that_was_given_up_is_left_aside(ledger, impatient):
    seen = []
    with cluster(n_workers=2, threads_per_worker=1) as two:
        with pytest.warns(DralignWarning, match=STOPPED.replace("tls", "tcp")):
            outcome = run_study(
                SPECS[:6],
                ledger,
                dask=two.scheduler_address,
                run=runs.is_late,
                on_record=seen.append,
            )
        assert (outcome.done, outcome.failed) == (6, ())
    assert sorted(record.hash for record in seen) == sorted(identify(SPECS[:6]))
    assert len(ledger.records()) == 6


def test_a_trial_over_the_time_limit_is_ended_and_recorded_as_failed(ledger):
    outcome = run_study(SPECS[:5], ledger, jobs=2, dask="local", trial_timeout=5, run=runs.endless)
    assert outcome.done == 4
    (failed,) = outcome.failed
    assert failed.error == "took longer than the time limit of 5 s for a trial, and was ended"


def test_a_trial_that_the_cluster_forgets_is_taken_back(ledger, impatient, monkeypatch):
    """Upstream a future may stay open with idle workers (dask/distributed#3196)."""
    submit, forgotten = distributed.Client.submit, []

    def forget_one(client, call, *arguments, **options):
        if arguments and arguments[2].spec.seed == 2 and not forgotten:
            forgotten.append(arguments)
            options["workers"] = ["tls://127.0.0.1:1"]
        return submit(client, call, *arguments, **options)

    monkeypatch.setattr(distributed.Client, "submit", forget_one)
    with pytest.warns(DralignWarning, match=STOPPED):
        outcome = run_study(SPECS[:6], ledger, jobs=2, dask="local", run=runs.quick)
    assert (outcome.done, len(forgotten)) == (6, 1)


ELSEWHERE = """
import sys, time, distributed

if __name__ == "__main__":
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    )
    print(cluster.scheduler_address, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_goes_away_or_stops_ends_the_study_with_one_line(ledger, monkeypatch, how):
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def harm(record):
        # Not before: where everything has to be started, a machine may need more than this.
        monkeypatch.setattr(study_cluster, "PATIENCE_SECONDS", 10.0)
        os.kill(process.pid, how)

    try:
        address = process.stdout.readline().strip()
        with pytest.raises(StudyError, match=r"connection to the cluster was lost|does not answer"):
            run_study(SPECS, ledger, dask=address, run=runs.short, on_record=harm)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 1 <= len(ledger.records()) < 40


class Deaf:
    """A client of a cluster whose workers never answer."""

    id, status = "client", "running"

    def subscribe_topic(self, *_):
        pass

    def run_on_scheduler(self, *_, **__):
        pass

    def submit(self, *_, **__):
        return concurrent.futures.Future()


@pytest.mark.parametrize(
    ("n_workers", "patience"), [(0, study_cluster.PATIENCE_SECONDS), (1, scheduler.START_SECONDS)]
)
def test_workers_that_are_heard_of_have_minutes_to_import_what_they_need(n_workers, patience):
    workers = study_cluster._Workers(Deaf(), "tcp://10.0.0.1:1", None)

    def wait_a_second(now):
        heard = study_cluster._Sight("one", float(now), 1, [])
        workers._see({f"worker {number}": heard for number in range(n_workers)})
        workers._age(1.0)

    for now in range(int(patience)):
        wait_a_second(now)
    with pytest.raises(StudyError, match="has lost all its workers, or they do not answer"):
        wait_a_second(patience)


INTRUDER = """
import sys, distributed
from distributed.security import Security

def mark(path):
    open(path, "w").close()

address, path, temporary = sys.argv[1:]
options = {"security": Security.temporary()} if temporary else {}
try:
    with distributed.Client(address, timeout=5, **options) as client:
        client.submit(mark, path).result(timeout=20)
        client.run_on_scheduler(mark, path)
except Exception as error:
    print("refused", type(error).__name__)
"""


def test_another_process_can_not_use_a_cluster_of_ours(ledger, tmp_path):
    marked, printed = tmp_path / "mark", {}
    clusters = distributed.deploy.spec.SpecCluster._instances  # of this process
    others = set(clusters)

    def intrude(record):
        (own,) = set(clusters) - others
        assert own.scheduler_address.startswith("tls://127.0.0.1:")
        page = f"http://127.0.0.1:{own.scheduler.http_server.port}/info/main/workers.html"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(page, timeout=60)
        for scheme, keys in [("tcp", ""), ("tls", ""), ("tls", "of its own")]:
            address = own.scheduler_address.replace("tls", scheme)
            other = [sys.executable, "-c", INTRUDER, address, str(marked), keys]
            done = subprocess.run(other, check=False, capture_output=True, text=True, timeout=120)
            printed[scheme, keys] = done.stdout.split()

    run_study(SPECS[:1], ledger, jobs=1, dask="local", run=runs.quick, on_record=intrude)
    assert [said[0] for said in printed.values()] == ["refused"] * 3
    assert not marked.exists()


@pytest.fixture(scope="module")
def open_to_all():
    """The address of a cluster without TLS that is used and not harmed."""
    with cluster(n_workers=1, threads_per_worker=1) as one:
        yield one.scheduler_address


def test_the_same_process_can_use_an_open_cluster(open_to_all, tmp_path):
    """So that what refuses it above is the cluster, and not the process."""
    other = [sys.executable, "-c", INTRUDER, open_to_all, tmp_path / "m", ""]
    subprocess.run(other, check=True, timeout=120)
    assert (tmp_path / "m").exists()


def test_a_cluster_with_another_version_is_one_clear_line(open_to_all, ledger, monkeypatch):
    monkeypatch.setattr(scheduler, "version", lambda name: "9.9")
    with pytest.raises(StudyError, match=r"cluster at tcp.* has dralign \d.*, this is 9\.9; inst"):
        run_study(SPECS[:2], ledger, dask=open_to_all, run=runs.quick)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_an_unreachable_cluster_is_one_clear_line_within_seconds(ledger):
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(StudyError, match=f"no Dask scheduler answers at {address}; start one"):
        run_study(SPECS[:2], ledger, dask=address, run=runs.quick)


def test_a_cluster_without_workers_is_one_clear_line(ledger):
    with cluster(n_workers=0) as none, pytest.raises(StudyError, match="has no workers"):
        run_study(SPECS[:2], ledger, dask=none.scheduler_address, run=runs.quick)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "tcp://host:port", ""])
def test_an_address_that_is_none_is_refused(ledger, address):
    with pytest.raises(OptionError, match=r"dask: expected 'local' or an address such as tcp://"):
        run_study(SPECS[:2], ledger, dask=address, run=runs.quick)


def test_a_running_cluster_has_its_own_number_of_workers(ledger):
    with pytest.raises(OptionError, match="jobs: a running Dask cluster has its own number"):
        run_study(SPECS[:2], ledger, dask="tcp://127.0.0.1:1", jobs=2, run=runs.quick)
