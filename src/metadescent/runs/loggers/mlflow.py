"""MLflow, on a server or in the run's folder."""

import time
from pathlib import Path

from metadescent.runs.loggers.base import Metrics, Outcome, needed, scalars
from metadescent.runs.loggers.service import Choices, Service


class MLflow(Service):
    """MLflow, where MLFLOW_TRACKING_URI says, or else in mlflow.db of the run's folder."""

    def __init__(self, experiment: str = "metadescent") -> None:
        self._mlflow, self._experiment = needed("mlflow", "mlflow"), experiment

    def open(self, folder: Path, choices: Choices, number: str) -> int:
        store = None if self._mlflow.is_tracking_uri_set() else f"sqlite:///{folder}/mlflow.db"
        client = self._client = self._mlflow.MlflowClient(store)
        known, param = client.get_experiment_by_name(self._experiment), self._mlflow.entities.Param
        group = known.experiment_id if known else client.create_experiment(self._experiment)
        runs, place = client.search_runs([group], f"tags.run = '{number}'"), folder.name
        run = runs[0] if runs else client.create_run(group, None, {"run": number}, place)
        self._run = run.info.run_id
        params = [param(k, str(v)) for k, v in choices.items() if k not in run.data.params]
        client.log_batch(self._run, params=params)
        client.update_run(self._run, "RUNNING")
        return len(client.get_metric_history(self._run, "seconds"))

    def discard(self) -> None:
        self._client.delete_run(self._run)

    def log(self, metrics: Metrics) -> None:
        at, metric = (time.time_ns() // 10**6, metrics["epoch"]), self._mlflow.entities.Metric
        self._client.log_batch(self._run, [metric(*item, *at) for item in scalars(metrics).items()])

    def end(self, outcome: Outcome) -> None:
        self._client.set_terminated(self._run, {"stopped": "KILLED"}.get(outcome, outcome.upper()))


NAMED = {"mlflow": MLflow}
