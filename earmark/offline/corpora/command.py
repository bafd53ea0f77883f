"""The command `corpus`: a source's sounds or texts into a corpus of the data folder."""

from __future__ import annotations

from argparse import Namespace

from ...errors import BadInput
from ...models.base import TextModel
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.catalog import model_revision
from ..workers import work_folder
from .build import Report, build_corpus
from .sources import Options, source
from .texts import text_source
from .texts.build import TextReport, build_text_corpus


def make_corpus(settings: Settings, slug: str, source_name: str, where: str | None, args: Namespace) -> Report | TextReport:
    """args: model (of texts, else None), table, transcribe (a model's slug or None), drop_non_speech, licence, title.

    Raises an EarmarkError for a bad source.
    """
    if args.model is not None:
        return _texts(settings, slug, source_name, where, args)
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


def _texts(settings: Settings, slug: str, source_name: str, where: str | None, args: Namespace) -> TextReport:
    module = text_source(source_name)
    options = Options(table=args.table, licence=args.licence, offline=settings.offline)
    about = module.about(where, options)
    runtime = Runtime(settings)
    model = runtime.model(args.model)
    if not isinstance(model, TextModel):
        raise BadInput(f"{args.model} reads sounds; --model names a language model, whose tokens a text is cut into.")
    return build_text_corpus(
        slug,
        module.read(where, options),
        settings.data / slug,
        model,
        model_revision(runtime.catalog.model(args.model)),
        title=args.title or about.title,
        licence=about.licence,
        notices=about.notices,
        source=source_name,
        work_folder=work_folder(settings.cache, "corpus", slug),
        progress=True,
        total=about.count,
    )
