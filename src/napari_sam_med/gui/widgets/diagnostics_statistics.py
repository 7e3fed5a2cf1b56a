"""Statistics that take too long for the main thread: computed on the pool, kept, and told when they are there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from qtpy.QtCore import QObject, Signal

from napari_sam_med.evaluation.calibration import ALL, calibration
from napari_sam_med.evaluation.robustness_curves import by_cluster, cluster_of, curves
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.gui.widgets.diagnostics_table import known_factors
from napari_sam_med.gui.widgets.evaluate_jobs import PoolJob

_MOST_KEPT = 50
_N_SAMPLES = 1000
_FEW_SAMPLES = 500
_MANY_ROWS = 3000


@dataclass(frozen=True, eq=False)
class Found:
    """A table of results.

    Attributes
    ----------
    table : DataFrame
    cluster : str
        What the bootstrap drew, "volume" or "slice"; "" while there are no intervals yet.
    n_clusters, n_rows, n_samples : int
        How many it drew, the rows it rests on, the samples of the bootstrap.
    """

    table: pd.DataFrame
    cluster: str
    n_clusters: int
    n_rows: int
    n_samples: int


class Statistics(QObject):
    """Results by key; what is not there is begun, one thing at a time.

    A newer request stops an older one that is still at work.
    """

    arrived = Signal(object)
    """Key of a result that came, or came more exactly."""
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kept: dict[Hashable, Found] = {}
        self._job: PoolJob | None = None
        self._asked: Hashable = None

    def ask(self, key: Hashable, steps: Callable[[], Iterator[Found]]) -> Found | None:
        """The result of this key as far as it is known; `steps` is run on the pool if it is not."""
        found = self._kept.get(key)
        if (found is None or not found.cluster) and self._asked != key:
            self.stop()
            self._asked = key
            self._job = PoolJob(steps, self)
            self._job.item.connect(lambda value: self._on_found(key, value))
            self._job.failed.connect(lambda text: self._on_failed(key, text))
            self._job.start()
        return found

    @property
    def busy(self) -> bool:
        """Whether something is at work."""
        return self._asked is not None

    def stop(self) -> None:
        """Let go of what is at work; its answer is not told."""
        if self._job is not None:
            self._job.cancel()
        self._job, self._asked = None, None

    def clear(self) -> None:
        """Forget all results."""
        self.stop()
        self._kept.clear()

    def _on_failed(self, key: Hashable, text: str) -> None:
        if self._asked == key:
            self._job, self._asked = None, None
            self.failed.emit(text)

    def _on_found(self, key: Hashable, value: Found) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = value
        if value.cluster and self._asked == key:
            self._job, self._asked = None, None
        self.arrived.emit(key)


def partial_steps(frame: pd.DataFrame) -> Callable[[], Iterator[Found]]:
    """Partial correlations of Dice with every known factor: at first without intervals, then with them.

    The bootstrap draws whole volumes, or slices if there is one volume alone.

    Parameters
    ----------
    frame : DataFrame
        Scores of one model, strategy and rule.
    """

    def steps() -> Iterator[Found]:
        table = _named(frame)
        table = table[table["dice"].notna()]
        factors = known_factors(table)
        cluster = cluster_of(table)
        rows = by_cluster(table, cluster)
        for n_samples, told in ((1, ""), (_FEW_SAMPLES if len(rows) > _MANY_ROWS else _N_SAMPLES, cluster)):
            found = pd.DataFrame(
                [vars(each) for each in factor_correlations(rows, factors, n_samples=n_samples)]
            )
            if not told and not found.empty:
                for name in ("low", "high", "partial_low", "partial_high"):
                    found[name] = float("nan")
            yield Found(found, told, rows["case"].nunique(), len(rows), n_samples)

    return steps


def calibration_steps(frame: pd.DataFrame) -> Callable[[], Iterator[Found]]:
    """Predicted against true IoU in bins, and over all of them, see :func:`evaluation.calibration.calibration`."""

    def steps() -> Iterator[Found]:
        table = _named(frame)
        found = calibration(table, by=(), n_samples=_N_SAMPLES)
        whole = found[found["bins"] == ALL]
        n_rows = int(whole["n"].iloc[0]) if len(whole) else 0
        n_clusters = int(whole["n_clusters"].iloc[0]) if len(whole) else 0
        yield Found(found, cluster_of(table), n_clusters, n_rows, _N_SAMPLES)

    return steps


def jitter_steps(rows: pd.DataFrame) -> Callable[[], Iterator[Found]]:
    """Mean Dice for every dose of jitter, see :func:`evaluation.robustness_curves.curves`."""

    def steps() -> Iterator[Found]:
        places = rows[["case", "axis", "slice"]].drop_duplicates()
        yield Found(curves(rows, n_samples=_N_SAMPLES), cluster_of(rows), len(places), len(rows), _N_SAMPLES)

    return steps


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that the statistics go by; a table of one's own may lack them."""
    missing: dict[str, Any] = {
        name: "" for name in ("case", "model", "strategy", "rule") if name not in frame
    }
    return frame.assign(**missing)
