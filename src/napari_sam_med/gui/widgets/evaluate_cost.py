"""What a simulation will cost: slices to encode, prompts to answer, and the time, once it has been measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_med.core.volume import Volume
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.plan import PairPlan, plan_pair
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.gui.widgets.evaluate_jobs import PoolJob, duration_text, only_slice
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.inference.requests import Encoded
from napari_sam_med.prompts import STRATEGIES

if TYPE_CHECKING:
    from napari_sam_med.gui.state import Workspace

Choices = tuple[EvaluationConfig, RobustnessConfig | None, int | None]
"""What is simulated, how prompts are moved besides, and the slice if it is one alone."""

_WAIT_MS = 400


@dataclass(frozen=True)
class Cost:
    """What is to be done.

    Attributes
    ----------
    n_slices, n_objects : int
        Slices, and objects in them.
    n_encodes, n_prompts, n_rows : int
        Slices times models that encode; prompts to these models; rows of the table.
    """

    n_slices: int
    n_objects: int
    n_encodes: int
    n_prompts: int
    n_rows: int

    def text(self, seconds: float | None) -> str:
        """ "12 slices, 30 objects, 60 prompts: about 9 s"."""
        counts = (
            (self.n_slices, "slice", "slices"),
            (self.n_objects, "object", "objects"),
            (self.n_prompts, "prompt", "prompts"),
        )
        words = ", ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in counts)
        return words if seconds is None else f"{words}: about {duration_text(seconds)}"


def cost_of(plan: PairPlan, config: EvaluationConfig, jitter: RobustnessConfig | None) -> Cost:
    """Count what a plan asks of the models; baselines cost next to nothing and are left out of the prompts."""
    n_slices = len(plan.targets)
    n_objects = sum(len(target.labels) for target in plan.targets)
    runs = [(model, strategy) for model, strategy in config.runs() if model not in BASELINES]
    n_prompts = 0
    for _, strategy in runs:
        kind = STRATEGIES.get(strategy).kind
        if kind == "everything":
            n_prompts += n_slices * config.everything.points_per_side**2
        else:
            n_prompts += n_objects * (config.n_clicks if kind == "clicks" else 1)
    n_rows = plan.n_rows
    if jitter is not None:
        n_prompts += n_objects * sum(len(jitter.steps(strategy)) for _, strategy in runs)
        n_rows += jitter.n_rows(n_objects)
    return Cost(n_slices, n_objects, n_slices * len({model for model, _ in runs}), n_prompts, n_rows)


@dataclass(frozen=True, eq=False)
class Task:
    """What a user is about to start: volumes on one grid, choices, and the one slice if it is only that."""

    image: Volume
    truth: Volume
    config: EvaluationConfig
    jitter: RobustnessConfig | None
    only: int | None

    def steps(self) -> Iterator[Cost]:
        """The cost as one item, for a ``PoolJob``: a large truth takes a moment to look through."""
        plan = plan_pair(self.image, self.truth, self.config)
        yield cost_of(plan if self.only is None else only_slice(plan, self.only), self.config, self.jitter)


class Rates:
    """How fast each model was on this machine: seconds an encode, and seconds a prompt."""

    def __init__(self, kept: int = 20) -> None:
        self._kept = kept
        self._encodes: dict[str, deque[float]] = {}
        self._prompts: dict[str, deque[float]] = {}

    def encoded(self, model: str, seconds: float) -> None:
        """A slice was encoded."""
        self._encodes.setdefault(model, deque(maxlen=self._kept)).append(seconds)

    def answered(self, model: str, seconds: float, n_encodes: int, n_prompts: int) -> None:
        """A whole job was done by one model; what encoding does not explain is the prompts'."""
        if n_prompts < 1:
            return
        rest = seconds - n_encodes * self._encode(model)
        self._prompts.setdefault(model, deque(maxlen=self._kept)).append(max(0.0, rest) / n_prompts)

    def seconds(self, cost: Cost, models: tuple[str, ...]) -> float | None:
        """About how long it takes; None where a model has not been measured."""
        asked = [model for model in models if model not in BASELINES]
        if not asked or any(model not in self._prompts for model in asked):
            return None
        share = 1 / len(asked)
        return sum(
            share * (cost.n_encodes * self._encode(model) + cost.n_prompts * median(self._prompts[model]))
            for model in asked
        )

    def _encode(self, model: str) -> float:
        known = self._encodes.get(model)
        return median(known) if known else 0.0


class CostCounter(QObject):
    """Counts on the pool what is about to be started, a moment after the last change, and says it in words.

    Parameters
    ----------
    workspace : Workspace
        Its model thread tells how long encoding takes.
    ask : callable
        What to count; None where nothing can be.
    """

    told = Signal(str)

    def __init__(
        self, workspace: Workspace, ask: Callable[[], Task | None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace, self._ask = workspace, ask
        self._rates = Rates()
        self._job: PoolJob | None = None
        self._known: tuple[Cost, Choices] | None = None
        self._paused = self._stale = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self._count)
        follow(self, workspace.worker_event, self._on_event)

    def restart(self) -> None:
        """Something changed."""
        self._timer.start()

    def job_done(self, choices: Choices, seconds: float) -> None:
        """These choices are done, and took so long; it is learned from if they were counted."""
        if self._known is not None and self._known[1] == choices:
            cost, (config, _, _) = self._known
            asked = [model for model in config.models if model not in BASELINES]
            if len(asked) == 1:
                self._rates.answered(asked[0], seconds, cost.n_encodes, cost.n_prompts)
        self._tell()

    def pause(self, paused: bool) -> None:
        """While a job runs, keep what was counted for it; what changes meanwhile is counted afterwards."""
        self._paused = paused
        if not paused and self._stale:
            self.restart()

    def _count(self) -> None:
        self._stale = self._paused
        if self._paused:
            return
        task = self._ask()
        if self._job is not None:
            self._job.cancel()
        self._job = self._known = None
        self._tell()
        if task is None:
            return
        job = self._job = PoolJob(task.steps, self)
        job.item.connect(lambda cost: self._on_counted(job, cost, (task.config, task.jitter, task.only)))
        job.start()

    def _on_counted(self, job: PoolJob, cost: Cost, choices: Choices) -> None:
        if job is self._job:
            self._known = (cost, choices)
            self._tell()

    def _tell(self) -> None:
        if self._known is None:
            self.told.emit("")
        else:
            cost, (config, _, _) = self._known
            self.told.emit(cost.text(self._rates.seconds(cost, config.models)))

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Encoded) and not event.cached:
            self._rates.encoded(self._workspace.model_request, event.seconds)
