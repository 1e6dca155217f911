"""Worker processes: they leave the program, its threads, its own workers and Ctrl-C as they were."""

import functools
import multiprocessing
import os
import signal
import sys
import threading
import types

import pytest

from ecg_jax.data import workers


def raise_nothing():
    pass


def test_the_programs_file_is_hidden_by_one_thread_at_a_time():
    main, is_hidden = sys.modules["__main__"], threading.Event()

    def hide():
        with workers._without_main():
            is_hidden.set()
            is_over.wait()

    is_over = threading.Event()
    other = threading.Thread(target=hide)
    with workers._without_main():
        other.start()
        assert not is_hidden.wait(0.1)
    is_over.set()
    other.join()
    assert sys.modules["__main__"] is main


def open_pool_in_a_thread():
    opened = []
    thread = threading.Thread(target=lambda: opened.append(workers.Pool(1, raise_nothing)))
    thread.start()
    thread.join()
    return opened[0]


@pytest.mark.parametrize("open_pool", [lambda: workers.Pool(1, raise_nothing), open_pool_in_a_thread])
def test_a_worker_ignores_ctrl_c_and_no_other_process_does(open_pool, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with open_pool() as pool:
        worker = pool.submit(os.getpid).result()
        os.kill(worker, signal.SIGINT)
        assert pool.submit(os.getpid).result() == worker
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    with multiprocessing.get_context("forkserver").Pool(1) as own:
        assert own.apply(signal.getsignal, (signal.SIGINT,)) is signal.default_int_handler
        assert own.apply(os.getenv, ("OMP_NUM_THREADS",)) is None


def test_what_workers_cannot_open_is_known_before_the_first_task(monkeypatch, capfd):
    for name in ("made_here", "__main__"):  # modules that workers cannot import, or must not
        module = types.ModuleType(name)
        exec("def open(): pass", module.__dict__)
        monkeypatch.setitem(sys.modules, name, module)
        with pytest.raises(workers.Unavailable):
            workers.Pool(2, module.open)
    with pytest.raises(workers.Unavailable):
        workers.Pool(2, lambda: None)
    with pytest.raises(workers.Unavailable):
        workers.Pool(2, functools.partial(os._exit, 1))
    assert not capfd.readouterr().err


def test_a_daemonic_process_does_without(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(workers.Unavailable, match="daemonic"):
        workers.Pool(2, raise_nothing)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux")
def test_workers_that_give_way_are_nice_and_do_not_preempt():
    with workers.Pool(1, raise_nothing, niceness=3) as polite, workers.Pool(1, raise_nothing) as plain:
        assert polite.submit(os.sched_getscheduler, 0).result() == os.SCHED_BATCH
        assert polite.submit(os.nice, 0).result() == min(os.nice(0) + 3, 19)
        assert plain.submit(os.sched_getscheduler, 0).result() == os.sched_getscheduler(0)
