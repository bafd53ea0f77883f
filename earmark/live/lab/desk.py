"""Where visitors' trainings are handled: one at a time beside the model's line, the others wait and are told their place; what nobody watches is given up.

The model's own line is only taken for the one pass that reads the activations. A finished training is kept in memory for as long as other things that
visitors bring, under a digest of its settings and its text; until it leaves, its autoencoder can be opened like a dictionary.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...errors import BadInput, EarmarkError, MissingWeights, NotFound
from ...experiments import GUEST, Experiment
from ...inputs.text import check_text
from ...machine import told
from ...shelf.catalog import DictionaryEntry
from ...shelf.hub import HERE, find_model
from ..line.askers import ASKER, Asker, crowded
from ..line.kept import Brought, Kept
from ..line.quiet import stand_back
from ..line.turns import Durations, Wait
from .material import Source, check_model, take
from .run import Run, made

if TYPE_CHECKING:
    from ..line.sounds import Sounds
    from .fit import Point

LIMIT_S = 60.0
"""a training that takes longer ends there, with what it has reached"""
LEFT_S = 15.0
"""a training that nobody has asked about for so long is given up"""
MAX_WAITING = 8
RUNS_BYTES = 300_000_000
FORGET_S = 600.0
"""how long the outcome of a training can be asked for by its ticket"""
N_POINTS = 150
"""of each curve that are sent at a time"""
OVER = ("done", "failed", "gone")


@dataclass
class Job:
    """A training that a visitor has asked for."""

    experiment: Experiment
    source: Source
    seen: float
    """when its page last asked, on the monotonic clock"""
    state: str = "waiting"
    """waiting, reading, training, or one of OVER"""
    points: list[Point] = field(default_factory=list["Point"])
    began: float = 0.0
    stop: bool = False
    token: str = ""
    problem: str = ""
    asker: Asker = field(default_factory=ASKER.get)


class Lab:
    """One a process, shared by all visitors."""

    def __init__(self, sounds: Sounds, limit_s: float = LIMIT_S, left_s: float = LEFT_S):
        self._sounds, self._limit_s, self._left_s = sounds, limit_s, left_s
        self.kept: Kept[Run] = Kept(RUNS_BYTES, gone=self._take_back)
        self._jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(1, "lab", initializer=stand_back)
        self._took = Durations()
        self._lock = threading.Lock()

    # -- what can be trained on --------------------------------------------------------------------------------------------

    def models(self) -> tuple[str, ...]:
        """Slugs of the models whose files are on this machine, in the catalog's order."""
        store = self._sounds.store
        return tuple(slug for slug, entry in store.catalog.models.items() if _is_here(entry, store.settings))

    def settled(self, experiment: Experiment) -> Experiment:
        """The experiment with a model: where it names none, a language model that is here, one with tables before others; with none listed, one that hears."""
        if experiment.model:
            return experiment
        catalog, store = self._sounds.store.catalog, self._sounds.store
        known = {d.model for slug, d in catalog.dictionaries.items() if store.has_tables(slug)}
        here = self.models()
        ranked = sorted(catalog.models, key=lambda slug: (catalog.models[slug].modality != "text", slug not in here, slug not in known))
        return replace(experiment, model=next(iter(ranked), ""))

    def dictionary_of(self, model: str) -> str | None:
        """Some dictionary over a model that was built from clips which are here; their sounds can be tried."""
        store = self._sounds.store
        return next((slug for slug, d in store.catalog.dictionaries.items() if d.model == model and d.corpus and store.has_tables(slug)), None)

    def warm(self, experiment: Experiment) -> None:
        """Start loading the experiment's model in the background, where a dictionary with tables stands over it."""
        slug = self.dictionary_of(self.settled(experiment).model)
        if slug is not None:
            self._sounds.warm(slug)

    def text(self, text: str) -> Source:
        """Raises BadInput for a text that cannot be used."""
        check_text(text)
        return Source(text=text)

    def sound(self, data: bytes, sample: str | None = None) -> Source:
        """Of a sound file's bytes. Raises BadInput for what is no sound."""
        return Source(sound=Brought(*self._sounds.decode(data), sample))

    def sample(self, model: str, sample: str) -> Source:
        """A clip of the corpus that belongs to a model. Raises NotFound where there is none."""
        slug = self.dictionary_of(model)
        if slug is None:
            raise NotFound(f"There are no clips for {model} here. Choose a file of your own.")
        return self.sound(self._sounds.sample(slug, sample), sample)

    def again(self, token: str) -> Source:
        """What an earlier training was trained on. Raises NotFound where it is no longer kept."""
        run = self.kept.get(token)
        if run is None:
            raise NotFound("What you trained on is no longer kept. Bring it once more.")
        return run.source

    def find(self, experiment: Experiment, source: str, token: str = "") -> Run | None:
        """A training that is kept: of these settings and this source (`Source.name`); where no source is told, that under the token, with these settings."""
        if source:
            return self.kept.get(experiment.name(source))
        run = self.kept.get(token) if token else None
        return run if run is not None and run.experiment == experiment else None

    # -- trainings -----------------------------------------------------------------------------------------------------------

    def start(self, experiment: Experiment, source: Source) -> str:
        """The ticket of a training that now waits for its turn. Raises BadInput where too many wait, or the model cannot take the source."""
        check_model(self._sounds.store, experiment, source)
        ticket, now = secrets.token_urlsafe(24), time.monotonic()
        with self._lock:
            self._jobs = {t: j for t, j in self._jobs.items() if j.state not in OVER or now - j.seen < FORGET_S}
            if sum(j.state not in OVER for j in self._jobs.values()) >= MAX_WAITING:
                raise BadInput(f"{MAX_WAITING} trainings are under way or waiting; that is all there is room for. Try once more in a minute.")
            if said := crowded((j.asker for j in self._jobs.values() if j.state not in OVER), MAX_WAITING):
                raise BadInput(said)
            job = self._jobs[ticket] = Job(experiment, source, now)
        self._pool.submit(self._work, job)
        return ticket

    def stop(self, ticket: str, leave: bool = False) -> None:
        """End a training with what it has reached; with `leave` its visitor is gone, and nothing is kept. Of an unknown ticket nothing happens."""
        job = self._jobs.get(ticket)
        if job is not None:
            job.stop = True
            if leave:
                job.seen = -1e9

    def progress(self, ticket: str) -> dict[str, Any]:
        """How far a training is; who asks is still there. Raises NotFound for an unknown ticket."""
        job = self._jobs.get(ticket)
        if job is None:
            raise NotFound("This training is not known here any more. Train once more.")
        job.seen, points = max(job.seen, time.monotonic()), tuple(job.points)
        told: dict[str, Any] = {"state": job.state, "step": len(points), "n_steps": job.experiment.n_steps, "token": job.token, "problem": job.problem}
        if job.state == "waiting":
            wait = self._wait(job)
            told |= {"before": wait.n_before, "waits": wait.words}
        if points:
            kept = points[:: -(-len(points) // N_POINTS)]
            kept = kept if kept[-1] is points[-1] else (*kept, points[-1])
            told |= {"left_s": round(self._remaining_s(job), 1), "fvu": points[-1].fvu, "steps": [p.step for p in kept]}
            told["losses"] = {name: [p.losses[name] for p in kept] for name in points[-1].losses}
        return told

    def _wait(self, job: Job) -> Wait:
        """Until the trainings that come first are over."""
        unfinished = [j for j in list(self._jobs.values()) if j.state not in OVER]
        before = list(itertools.takewhile(lambda j: j is not job, unfinished))
        return Wait(len(before), sum(map(self._remaining_s, before)))

    def _remaining_s(self, job: Job) -> float:
        """Of a training under way as fast as it has been so far; of one that waits as long as others took."""
        done = min(len(job.points), job.experiment.n_steps)
        if not done:
            return self._took.usual_s("train")
        return (time.monotonic() - job.began) / done * (job.experiment.n_steps - done)

    def _left(self, job: Job) -> bool:
        return time.monotonic() - job.seen > self._left_s

    def _work(self, job: Job) -> None:
        """On the Lab's one thread."""
        from .fit import fit

        if self._left(job) or job.stop:
            job.state = "gone"
            return
        try:
            job.state = "reading"
            kind = "sound" if job.source.sound else "text"
            material = self._sounds.run(lambda: take(self._sounds.runtime(), job.experiment, job.source), kind, within=True)
            job.state, job.began = "training", time.monotonic()
            with told():
                fitted = fit(material.x, job.experiment, job.points.append, lambda: job.stop or self._left(job), self._limit_s)
            if self._left(job):
                job.state = "gone"
                return
            job.token = self._keep(made(job.experiment, job.source, material, fitted))
            self._took.note("train", time.monotonic() - job.began)
            job.state = "done"
        except EarmarkError as error:
            job.problem, job.state = str(error), "failed"
        except Exception:  # nobody waits for this thread: what nobody thought of is told to the visitor, and whole to the owner's log
            logging.getLogger(__name__).exception("A training in the Lab failed")
            job.problem, job.state = "Something went wrong here, and nothing was trained. Try other settings.", "failed"

    # -- what is kept --------------------------------------------------------------------------------------------------------

    def _keep(self, run: Run) -> str:
        catalog = self._sounds.store.catalog
        corpora = (d.corpus for d in catalog.dictionaries.values() if (d.model, d.layer) == (run.experiment.model, run.layer))
        title = "Trained in the Lab"
        entry = DictionaryEntry(run.slug, run.experiment.model, "sae", run.layer, run.experiment.site, title, next(corpora, None), format="saelens")
        self.kept.drop(run.token)
        token = self.kept.put(run, run.token)
        self._sounds.runtime().lend(entry, run.sae)
        return token

    def _take_back(self, token: str) -> None:
        self._sounds.runtime().take_back(GUEST + token)


def _is_here(entry: Any, settings: Any) -> bool:
    try:
        find_model(entry, settings, HERE)
    except MissingWeights:
        return False
    return True
