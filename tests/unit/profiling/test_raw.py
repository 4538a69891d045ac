"""What py-spy writes, line by line."""

from longline.profiling import raw


def test_stacks_are_read_with_their_samples() -> None:
    read = raw.read(["main (app.py:3);work (app.py:9) 17\n", "main (app.py:3) 2\n"])
    assert read == {("main (app.py:3)", "work (app.py:9)"): 17, ("main (app.py:3)",): 2}


def test_lines_that_are_none_are_passed_over() -> None:
    assert raw.read(["", "\n", "17", "main (app.py:3) many", "  "]) == {}


def test_one_place_is_one_place_in_every_run() -> None:
    """Addresses differ from run to run, so they are left out."""
    lines = ["0x7fac5344524a (libc.so.6);main (app.py:3) 1", "0x7fac00000010 (libc.so.6);main (app.py:3) 2"]
    assert raw.read(lines) == {("? (libc.so.6)", "main (app.py:3)"): 3}


def test_compiled_functions_have_the_names_of_their_source() -> None:
    line = (
        "run (app.py:1);CPyPy_codec___Decoder___feed (codec.c:9);CPyDef_codec___Decoder___feed (codec.c:31) 4"
    )
    assert raw.read([line]) == {("run (app.py:1)", "codec.Decoder.feed (compiled)"): 4}


def test_how_the_interpreter_calls_itself_is_left_out() -> None:
    line = (
        "run (app.py:1);_PyEval_EvalFrameDefault (ceval.c:5);PyObject_Vectorcall (call.c:2);work (app.py:9) 1"
    )
    assert raw.read([line]) == {("run (app.py:1)", "work (app.py:9)"): 1}


def test_threads_that_wait_do_not_count() -> None:
    waiting = [
        "run (app.py:1);uv__io_poll (linux.c:1452);epoll_pwait (libc.so.6) 3",
        "get (worker.py:1);PyThread_acquire_lock_timed (libpython3.11.so);0x7f01 (libc.so.6) 3",
        "run (app.py:1);PyEval_RestoreThread (ceval.c:1);take_gil (ceval_gil.h:1);0x7f01 (libc.so.6) 3",
    ]
    assert raw.read([*waiting, "run (app.py:1);epoll_ctl (libc.so.6) 1"]) == {
        ("run (app.py:1)", "epoll_ctl (libc.so.6)"): 1
    }
