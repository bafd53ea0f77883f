"""The limits of what visitors bring, from the constants that hold them: a table of README.md, made by `python scripts/docs.py` (make docs)."""

from __future__ import annotations

from components import kept as views
from components.host.doors import FORGET_S, GRACE_S, MAX_BODY_BYTES, MAX_TAKEN_BYTES, SLOWEST_BYTES_S
from earmark import edits, experiments, links, lists, pages
from earmark.dictionaries.files import MAX_UNPACKED
from earmark.inputs import audio, text, textfile
from earmark.live.line import askers, kept, model, sounds, turns
from earmark.settings import SETTINGS
from earmark.shelf.catalog import reading

_SET = {name: default for name, default, _ in SETTINGS}


def rows() -> list[tuple[str, str, str]]:
    """(what, the most of it, what happens beyond)"""
    refused = "refused"
    return [
        ("bytes of a sound file", f"{_SET['max_upload_mb']} MB (`EARMARK_MAX_UPLOAD_MB`)", refused),
        ("bytes of a text file", _mb(textfile.MAX_TEXT_BYTES), refused),
        ("bytes of a request without a file", _mb(MAX_BODY_BYTES), refused),
        ("seconds that a request's body is waited for", f"{GRACE_S:.0f}, and one more for every {SLOWEST_BYTES_S / 1000:.0f} kB of it", refused),
        ("bytes of all files that wait to be read", _mb(MAX_TAKEN_BYTES), "the oldest is deleted"),
        ("age of a file that nobody reads", f"{sum(FORGET_S) / 60:.0f} minutes", "deleted; one that is read is deleted then"),
        ("age of what is kept of a visit", f"{kept.MAX_AGE_S / 60:.0f} minutes", "forgotten"),
        (
            "age of a drawn view that is shown again; of all of them, packed",
            f"{views.MAX_AGE_S / 60:.0f} minutes; {_mb(views.MAX_BYTES)}",
            "drawn anew",
        ),
        ("seconds of a sound", f"{_SET['max_source_s']} (`EARMARK_MAX_SOURCE_S`)", refused),
        ("seconds of a sound that the model hears", f"{_SET['max_audio_s']} (`EARMARK_MAX_AUDIO_S`)", "cut, with a notice"),
        ("shortest sound", f"{audio.MIN_DURATION_S * 1000:.0f} ms", refused),
        ("samples a second", f"{audio.MIN_RATE_HZ:,} to {audio.MAX_RATE_HZ:,}", refused),
        ("channels", f"{audio.MAX_CHANNELS}", refused),
        ("seconds that reading a file takes", f"{sounds.DECODE_S}", "given up"),
        ("seconds that a turn of the model takes", f"{model.RUN_S}", "given up"),
        ("places in the line for the model", f"{turns.MAX_WAITING}", "told to come back"),
        ("of them for one page; from one network", "; ".join(map(str, askers.places(turns.MAX_WAITING))), "told to wait for their own"),
        ("characters of a text", f"{text.MAX_CHARACTERS:,}", refused),
        ("tokens of a text that the model reads", f"{text.MAX_TOKENS:,}", "cut, with a notice"),
        ("characters of a text in an address", f"{links.MAX_LINK_TEXT}", "in no address"),
        ("characters of a search", f"{links.MAX_TEXT}", "cut"),
        ("units edited at once", f"{edits.MAX_EDITS}", "left out, with a notice"),
        ("units of a list; letters of its name", f"{lists.MAX_UNITS}; {lists.MAX_NAME}", "left out, with a notice; cut"),
        ("positions, latents and steps in the Lab", f"{experiments.MAX_POSITIONS}; {experiments.MAX_UNITS:,}; {experiments.MAX_STEPS:,}", refused),
        ("letters of a slug; of any other text of the catalog", f"80; {reading.MAX_TEXT:,}", "the entry is left out, and told"),
        ("what an archive of weights unpacks to", f"{MAX_UNPACKED[0]} times its size and {_mb(MAX_UNPACKED[1])}", refused),
        ("what is read at once of a parquet file unpacks to", f"{pages.MOST[0]} times its size and {_mb(pages.MOST[1])}", refused),
        ("download from the Hub that a visitor sets off", f"{_SET['hub_max_mb']} MB (`EARMARK_HUB_MAX_MB`)", refused),
        ("memory of models and dictionaries", f"{_SET['model_memory_mb']} MB (`EARMARK_MODEL_MEMORY_MB`)", "the longest unused leave"),
    ]


def limits_table() -> str:
    return "\n".join(["| what | at most | beyond |", "|---|---|---|", *(f"| {what} | {most} | {beyond} |" for what, most, beyond in rows())])


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
