"""The command `corpus`: a source's sounds into a corpus of the data folder."""

from __future__ import annotations

from argparse import Namespace

from ...runtime import Runtime
from ...settings import Settings
from ..workers import work_folder
from .build import Report, build_corpus
from .sources import Options, source


def make_corpus(settings: Settings, slug: str, source_name: str, where: str | None, args: Namespace) -> Report:
    """args: table, transcribe (a model's slug or None), drop_non_speech, licence, title. Raises an EarmarkError for a bad source."""
    module = source(source_name)
    options = Options(table=args.table, licence=args.licence, offline=settings.offline)
    about = module.about(where, options)
    transcribe = Runtime(settings).model(args.transcribe).read if args.transcribe else None
    return build_corpus(
        slug,
        module.read(where, options),
        settings.data / slug,
        title=args.title or about.title,
        licence=about.licence,
        notices=about.notices,
        drop_non_speech=args.drop_non_speech,
        transcribe=transcribe,
        transcriber=args.transcribe or "model",
        progress=True,
        work_folder=work_folder(settings.cache, "corpus", slug),
        source=source_name,
        total=about.count,
    )
