"""The desk that visitors come to: their sounds, their texts, their edits and what they train, on one line for the model."""

from __future__ import annotations

from ..shelf.store import Store
from .editing.desk import Editing
from .lab.desk import Lab
from .line.model import RUN_S
from .line.sounds import DECODE_S, Sounds
from .texts.desk import Texts


class Desk(Sounds):
    """One a process, shared by all visitors."""

    def __init__(self, store: Store, decode_s: float = DECODE_S, run_s: float = RUN_S):
        super().__init__(store, decode_s, run_s)
        self.texts = Texts(self, lambda token: self.editing.forget(token))
        self.editing = Editing(self, self.texts)
        self.lab = Lab(self)

    def forget(self, token: str) -> None:
        """A visitor's own clip, and all that was found on it."""
        self.kept.drop(token)
        self.editing.forget(token)
