"""The screen of `balsam top`: heading lines, one table, and keys; it reads in a thread of its own and never waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.coordinate import Coordinate
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, Log, Static

from balsam_core.cli.context import Opened
from balsam_core.errors import BalsamError
from balsam_core.growing import Growing, end_of
from balsam_core.models.job import Job
from balsam_core.monitoring.reading import Watch
from balsam_core.monitoring.snapshot import Snapshot, View
from balsam_core.monitoring.text import Part, Table, chosen, fitted, heading, history, printable, table
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import machine_id
from balsam_core.state.machine import END, parse_state
from balsam_core.workdirs import Workdirs

T = TypeVar("T")

_PARTS = tuple(Part)
_WITH_JOBS = frozenset({Part.JOBS, Part.FAILING})
_PAGE = 100
# A large site takes its time to look at: it is left alone for so many times as long, and not longer than this.
_REST = 3
_LONGEST_REST_SECONDS = 5.0
_FILE_SECONDS = 0.5
_OUTPUT_LINES = 500
_KEPT_LINES = 10_000
_SCROLLBAR = 2


class TopApp(App[None]):
    """Looks at a site every second or so, until the user leaves."""

    TITLE = "balsam top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #heading { height: auto; }
    #parts { height: 1; background: $panel; }
    #note { height: auto; max-height: 3; color: $warning; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"part({number - 1})", part.value, show=False) for number, part in enumerate(_PARTS, 1)),
        Binding("tab", "next_part", "view", priority=True),
        Binding("w", "ask_workflow", "wf"),
        Binding("n", "ask_name", "name"),
        Binding("s", "ask_state", "state"),
        Binding("c", "clear", "clear"),
        Binding("h", "history", "history"),
        Binding("o", "output", "output"),
        Binding("k", "kill", "kill"),
        Binding("greater_than_sign", "page(1)", "next page", show=False),
        Binding("less_than_sign", "page(-1)", "page before", show=False),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, here: Opened, wanted: JobFilter, interval_seconds: float) -> None:
        super().__init__()
        self._here = here
        self._interval_seconds = interval_seconds
        self._view = View(wanted, rows=_PAGE)
        self._part = Part.JOBS
        self._watch = Watch(here.store, machine_id(os.environ))
        # One thread: the change mark of SQLite belongs to one connection.
        self._reader = ThreadPoolExecutor(1, "reader")
        self._look: Snapshot | None = None
        self._shown: tuple[Table, list[int]] | None = None
        self._looking = False
        self._not_before = 0.0
        self._to_top = False

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(id="heading", markup=False)
        yield Static(id="parts", markup=False)
        yield DataTable[Text](cursor_type="row", zebra_stripes=True)
        yield Static(id="note", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(DataTable).focus()
        self.set_interval(self._interval_seconds, self._tick)
        self.run_worker(self.look())

    def on_unmount(self) -> None:
        """Read no more."""
        self._reader.shutdown(wait=True)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """What a function that uses the database returns; it runs in the thread for that."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *args)

    async def look(self) -> None:
        """Look at the site, and show it; an error of the database is told, and the next look tries again."""
        self._looking = True
        began = time.monotonic()
        try:
            look = await self.read(self._watch.look, self._view)
            # The user may have chosen something else meanwhile: the look at that is on its way.
            if look.view == self._view:
                self._show(look)
        except BalsamError as error:
            self._say(str(error))
        finally:
            self._looking = False
            rest = min(_REST * (time.monotonic() - began), _LONGEST_REST_SECONDS)
            self._not_before = time.monotonic() + rest

    def _show(self, look: Snapshot) -> None:
        self._look = look
        if look.view.offset and not look.jobs.page:
            last = max(0, (look.jobs.total - 1) // _PAGE * _PAGE)
            self._go_to(replace(look.view, offset=last))
        self._draw()

    def _go_to(self, view: View) -> None:
        self._view = view
        self._to_top = True
        self.run_worker(self.look())

    # --- keys

    def action_part(self, number: int) -> None:
        """Show another table."""
        self._part = _PARTS[number]
        self._say("")
        self._draw()

    def action_next_part(self) -> None:
        """Show the next table."""
        self.action_part((_PARTS.index(self._part) + 1) % len(_PARTS))

    def action_ask_workflow(self) -> None:
        """Ask for a workflow to look at."""
        self._ask("workflow (* stands for anything):", self._view.wanted.workflow, self._filter_workflow)

    def action_ask_name(self) -> None:
        """Ask for a part of a name to look for."""
        self._ask("part of the name:", self._view.wanted.name, self._filter_name)

    def action_ask_state(self) -> None:
        """Ask for states to look at."""
        states = ",".join(state.value for state in self._view.wanted.states)
        self._ask("state (A or A,B):", states, self._filter_state)

    def action_clear(self) -> None:
        """Look at all jobs."""
        self._choose(JobFilter())

    def action_page(self, step: int) -> None:
        """Show the jobs after these, or before them."""
        offset = self._view.offset + step * _PAGE
        if self._look is None or self._part is not Part.JOBS or not 0 <= offset < max(1, self._look.jobs.total):
            return
        self._go_to(replace(self._view, offset=offset))

    async def on_data_table_row_selected(self) -> None:
        """Enter opens what the row is about."""
        await self.action_history()

    async def action_history(self) -> None:
        """Show the moves of the job under the cursor."""
        if job := await self._job():
            events = await self.read(self._here.store.history, [job.job_id])
            self.push_screen(TextScreen(history(job, events)))

    async def action_output(self) -> None:
        """Follow what the job under the cursor prints."""
        if job := await self._job():
            self.push_screen(OutputScreen(job.cute_id, Growing(Workdirs(self._here.site.data).output_of(job))))

    async def action_kill(self) -> None:
        """Kill the job under the cursor, once the user agrees."""
        job = await self._job()
        if job is None:
            return
        if job.state in END:
            self._say(f"{job.cute_id} is {job.state}: there is nothing to kill")
            return
        self.push_screen(QuestionScreen(f"Kill {job.cute_id}, which is {job.state}? [y/n]"), self._killer(job))

    # --- what they do

    def _killer(self, job: Job) -> Callable[[bool | None], None]:
        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._kill(job))
            else:
                self._say("nothing was killed")

        return answered

    async def _kill(self, job: Job) -> None:
        wanted = JobFilter(ids=[str(job.job_id)])
        try:
            killed = await self.read(lambda: self._here.store.kill(wanted, message="balsam top"))
        except BalsamError as error:
            self._say(str(error))
            return
        self._watch.forget()
        self._say(f"killed {job.cute_id}" if killed else f"{job.cute_id} had ended already")
        await self.look()

    async def _job(self) -> Job | None:
        """The job under the cursor; None, and a note why: there is none."""
        cursor = self.query_one(DataTable).cursor_row
        keys = self._shown[0].keys if self._shown else ()
        if self._part not in _WITH_JOBS or not 0 <= cursor < len(keys):
            self._say("choose a job first: in the views 1 and 5")
            return None
        try:
            return await self.read(self._here.store.find_job, keys[cursor])
        except BalsamError as error:
            self._say(str(error))
            return None

    def _ask(self, question: str, before: str, answered: Callable[[str], JobFilter]) -> None:
        def use(answer: str | None) -> None:
            try:
                if answer is not None:
                    self._choose(answered(answer.strip()))
            except BalsamError as error:
                self._say(str(error))

        self.push_screen(InputScreen(question, before), use)

    def _filter_workflow(self, answer: str) -> JobFilter:
        return replace(self._view.wanted, workflow=answer)

    def _filter_name(self, answer: str) -> JobFilter:
        return replace(self._view.wanted, name=answer)

    def _filter_state(self, answer: str) -> JobFilter:
        states = tuple(parse_state(word) for word in answer.replace(",", " ").split())
        return replace(self._view.wanted, states=states)

    def _choose(self, wanted: JobFilter) -> None:
        self._say(f"looking at {chosen(wanted) or 'all jobs'}")
        self._go_to(View(wanted, rows=_PAGE))

    # --- drawing

    def _tick(self) -> None:
        if not self._looking and time.monotonic() >= self._not_before:
            self.run_worker(self.look())

    def _say(self, words: str) -> None:
        if self.is_running:
            self._main.query_one("#note", Static).update(printable(words))

    @property
    def _main(self) -> Screen[object]:
        return self.screen_stack[0]

    def _draw(self) -> None:
        # What was read while the user left has nothing to be drawn on.
        if self._look is None or not self.is_running:
            return
        width = self.size.width
        self._main.query_one("#heading", Static).update(
            "\n".join(heading(self._look, str(self._here.site.path), width))
        )
        self._main.query_one("#parts", Static).update(self._parts_line(self._look))
        self._fill(*fitted(table(self._look, self._part), width - _SCROLLBAR))

    def _parts_line(self, look: Snapshot) -> str:
        words = [
            f"[{number} {part.value}]" if part is self._part else f" {number} {part.value} "
            for number, part in enumerate(_PARTS, 1)
        ]
        first, last = look.view.offset + 1, look.view.offset + len(look.jobs.page)
        keys = " (< >)" if len(look.jobs.page) < look.jobs.total else ""
        return "".join(words) + (f" {first}-{last} of {look.jobs.total}{keys}" if look.jobs.page else "")

    def _fill(self, new: Table, widths: list[int]) -> None:
        """Put a table onto the screen; the cursor stays on what it was on, unless it is to go to the top."""
        grid: DataTable[Text] = self._main.query_one(DataTable)
        before, self._shown = self._shown, (new, widths)
        with self.batch_update():
            if before and (before[0].headers, before[0].keys, before[1]) == (new.headers, new.keys, widths):
                self._change_cells(grid, before[0], new)
            else:
                key = _key_at(before[0], grid.cursor_row) if before and before[0].headers == new.headers else None
                self._fill_anew(grid, new, widths, key)
            if self._to_top:
                grid.move_cursor(row=0)
        self._to_top = False

    def _fill_anew(self, grid: DataTable[Text], new: Table, widths: list[int], key: str | None) -> None:
        grid.clear(columns=True)
        for header, width in zip(new.headers, widths, strict=True):
            grid.add_column(Text(header), width=width)
        grid.add_rows([[Text(cell) for cell in row] for row in new.rows])
        if key in new.keys:
            grid.move_cursor(row=new.keys.index(key))

    def _change_cells(self, grid: DataTable[Text], before: Table, new: Table) -> None:
        for place, (old_row, row) in enumerate(zip(before.rows, new.rows, strict=True)):
            for column, (old, cell) in enumerate(zip(old_row, row, strict=True)):
                if old != cell:
                    grid.update_cell_at(Coordinate(place, column), Text(cell))


class TextScreen(ModalScreen[None]):
    """A text to read; any of the keys that leave closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,h,enter", "dismiss", "back")]
    CSS = "TextScreen VerticalScroll { background: $surface; }"

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text, which scrolls."""
        with VerticalScroll():
            yield Static(printable(self._text), markup=False)
        yield Footer()


class OutputScreen(ModalScreen[None]):
    """What a job prints, as it comes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,o,enter", "dismiss", "back")]
    CSS = "OutputScreen Static { height: 1; background: $panel; } OutputScreen Log { height: 1fr; }"

    def __init__(self, job: str, file: Growing) -> None:
        super().__init__()
        self._job = job
        self._file = file

    def compose(self) -> ComposeResult:
        """The name of the file, and its end."""
        yield Static(printable(f"{self._job}  {self._file.file}"), markup=False)
        yield Log(max_lines=_KEPT_LINES)
        yield Footer()

    def on_mount(self) -> None:
        """Show the end, and then what is added."""
        self._write(end_of(self._file, _OUTPUT_LINES) or f"(nothing yet in {self._file.file})\n")
        self.set_interval(_FILE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        # Why the file cannot be read was told at the beginning; that may pass.
        with contextlib.suppress(OSError):
            self._write(self._file.added())

    def _write(self, text: str) -> None:
        if text:
            self.query_one(Log).write(printable(text))


class QuestionScreen(ModalScreen[bool]):
    """A question whose answer is yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes"),
        Binding("n,escape,q", "dismiss(False)", "no"),
    ]
    CSS = """
    QuestionScreen { align: center middle; }
    QuestionScreen Static { width: auto; max-width: 76; height: auto; padding: 1 2; background: $panel; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question."""
        yield Static(printable(self._question), markup=False)


class InputScreen(ModalScreen[str | None]):
    """A question whose answer is a line; Escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "back")]
    CSS = """
    InputScreen { align: center bottom; }
    InputScreen Static { height: 1; background: $panel; }
    """

    def __init__(self, question: str, before: str) -> None:
        super().__init__()
        self._question = question
        self._before = before

    def compose(self) -> ComposeResult:
        """The question, and the line."""
        yield Static(self._question, markup=False)
        yield Input(self._before)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The answer is given."""
        self.dismiss(event.value)


def _key_at(shown: Table, row: int) -> str | None:
    return shown.keys[row] if 0 <= row < len(shown.keys) else None
