import time

from maskwright.core import terminal as progress


def test_a_log_file_gets_a_line_every_30_seconds_and_at_the_end(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress.bar("Work", 100) as shown:
        for second in range(70):
            now = float(second)
            shown.advance(1, f"at {second}")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Work: 32/100 at 31", "Work: 63/100 at 62", "Work: 70/100 at 69"]


def test_the_last_line_is_printed_once(capsys):
    shown = progress.Bar("Work", None)
    shown.advance(3)
    shown.close()
    shown.close()
    assert capsys.readouterr().out == "Work: 3\n"


def test_a_terminal_gets_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with progress.bar("Work", 2) as shown:
        shown.advance(2, "loss 1.0")
    out = capsys.readouterr().out
    assert "2/2" in out
    assert "loss 1.0" in out
