"""What a person sees of an ingest: a bar on a terminal, a line now and then elsewhere, and the result."""

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from serve import ingest

LINE_EVERY_S: Final = 5.0
"""Between two lines when the output is not a terminal."""
PROBLEMS_SHOWN: Final = 20
REL_CHARS: Final = 48


class IngestView:
    """Call it with each progress: `with IngestView() as view: await ingest(…, on_progress=view)`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("Taking in music"),
            BarColumn(),
            TextColumn("{task.fields[files]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rel]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last_line_s: float | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: ingest.Progress) -> None:
        if not progress.total:
            return
        files = f"{progress.done}/{progress.total} files"
        if self._console.is_terminal:
            rel = progress.rel if len(progress.rel) <= REL_CHARS else f"…{progress.rel[1 - REL_CHARS :]}"
            if self._task is None:
                self._task = self._bar.add_task("", total=progress.total_bytes, files=files, rel="")
            self._bar.update(self._task, completed=progress.done_bytes, files=files, rel=rel)
            return
        now_s = time.monotonic()
        is_due = self._last_line_s is None or now_s - self._last_line_s >= LINE_EVERY_S
        if is_due or progress.done == progress.total:
            self._last_line_s = now_s
            line = f"taking in music: {files}, {progress.problems} problems"
            self._console.print(line, markup=False, highlight=False)

    def show(self, report: ingest.IngestReport, *, report_file: Path) -> None:
        """The result: one line, and a table of the files that are not in the catalogue.

        `report_file` is written with all of them, or deleted when there are none.
        """
        report_file.unlink(missing_ok=True)
        taken = f"{report.taken} taken"
        if report.music_s:
            speed = report.music_s / max(report.elapsed_s, 0.001)
            taken += f" ({report.music_s / 60:.1f} min of music, {speed:.1f}× real time)"
        line = f"Music: {report.tracks} tracks, {report.albums} albums, {report.artists} artists. {taken}"
        line += f", {report.unchanged} unchanged, {report.unavailable} unavailable"
        line += f", {len(report.problems)} problems."
        self._console.print(line, markup=False, highlight=False)
        if not report.problems:
            return
        lines = (f"{problem.rel}\t{problem.reason}\n" for problem in report.problems)
        report_file.write_text("".join(lines), encoding="utf-8")
        table = Table("file", "why it is not in the catalogue", box=None, pad_edge=False)
        for problem in report.problems[:PROBLEMS_SHOWN]:
            # Text, not str: a file's name is not markup.
            table.add_row(Text(problem.rel), Text(problem.reason))
        self._console.print(table)
        if len(report.problems) > PROBLEMS_SHOWN:
            more = len(report.problems) - PROBLEMS_SHOWN
            self._console.print(f"and {more} more, listed in {report_file}", markup=False, highlight=False)
