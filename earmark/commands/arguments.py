"""The command line's words: commands, their arguments and what they are for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import BadInput
from ..settings import Settings

Command = Callable[[argparse.Namespace, Settings], int | None]


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) < 2**32):
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is no whole number from 0 to {2**32 - 1}")
    return int(text)


def _reading(command: argparse.ArgumentParser) -> None:
    """How a checkpoint is to be read."""
    command.add_argument("--format", help="the checkpoint's format, where it is not to be recognised")
    command.add_argument("--width", type=int, help="width of the activations, for checkpoints whose shapes do not tell it")
    command.add_argument("--scale", help="what is done to the input, where the checkpoint leaves it open")


def _text(command: argparse.ArgumentParser) -> None:
    """A text of one's own."""
    command.add_argument("--text", help="a text")
    command.add_argument("--file", type=Path, help="a text file")


TRAINING_FLAGS: tuple[tuple[str, Callable[[str], object] | None, str], ...] = (
    ("kind", str, "topk (default), batchtopk, l1, tied_l1 or ksparse"),
    ("n-units", int, "number of features"),
    ("k", int, "active features at each position; of batchtopk in the mean; not for l1 and tied_l1"),
    ("n-activations", int, "positions seen in training, repetitions counted"),
    ("batch", int, "positions in a step"),
    ("lr", float, "learning rate"),
    ("start", str, "of the decoder: frames (training activations), random or orthogonal"),
    ("start-norm", float, "length of the decoder's rows at the start, over scaled inputs"),
    ("aux", float, "weight of the loss that brings back dead features, such as 0.03125 (topk and batchtopk; default: none)"),
    ("dead-after", int, "positions without a value above 0 after which a feature is taken for dead"),
    ("penalty", float, "weight of the sum of values, which keeps them small (l1: 5; tied_l1: 1)"),
    ("penalty-warmup-share", float, "first part of the steps, over which penalties rise from 0"),
    ("covariance", float, "weight of the penalty on what two features have in common (ksparse)"),
    ("reconstruction", float, "weight of the squared error beside the penalties"),
    ("scaling", str, "of inputs: variance (centred, variance 1), norm (times sqrt(d) / mean length) or none"),
    ("pre-bias", None, "subtract the decoder's bias before encoding"),
    ("unit-decoder", None, "keep the decoder's rows at length 1"),
    ("optimiser", str, "adam or radam"),
    ("beta2", float, "how long the optimiser remembers squares of gradients"),
    ("warmup-steps", int, "steps over which the rate rises"),
    ("decay-share", float, "last part of the steps, over which the rate falls to 0"),
    ("decay", str, "how it falls: linear or cosine"),
    ("clip", float, "largest norm of a step's gradient"),
    ("seed", _seed, "of the random numbers"),
    ("held-out-share", float, "part of the samples that training never sees"),
)
"""of a training: name, type (None: on or off) and help; a test fails when one of learning.settings is missing"""


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("dictionary", nargs="?")
    train.add_argument("--corpus", help="another corpus than the catalog's")
    train.add_argument("--activations", type=Path, metavar="X.npy", help="stored activations [n_positions, width], a file or a folder of them; with --out")
    train.add_argument("--longest", type=float, metavar="N", help="of those, leave out what is more than N times as long as the median (attention sinks: 4)")
    train.add_argument("--out", type=Path, metavar="FOLDER", help="write into this folder instead of the catalog's")
    train.add_argument("--recipe", type=Path, help="settings from a TOML file such as recipes/wave-sae.toml; flags come before them")
    train.add_argument("--run", dest="only", metavar="NAME", help="a run of the recipe (default: its first)")
    train.add_argument(
        "--sweep", metavar="SETTING=A,B,C", help="train one for each value of k, penalty or another setting, and draw FVU against L0; with --out"
    )
    train.add_argument("--dry-run", action="store_true", help="only say sizes, memory and an estimated time")
    train.add_argument("--resume", action="store_true", help="insist on a stopped run to go on with; without it one goes on where there is one")
    train.add_argument("--device", default="auto", help="auto (default: a GPU where there is one), cpu or cuda; a GPU multiplies in bf16")
    train.add_argument("--log-every", type=int, default=50, metavar="STEPS", help="steps between two lines of metrics (default 50)")
    train.add_argument("--workers", type=int, help="processes that collect activations (default: one a core)")
    for flag, type_, help_ in TRAINING_FLAGS:
        if type_ is None:
            train.add_argument(f"--{flag}", action=argparse.BooleanOptionalAction, default=None, help=help_)
        else:
            train.add_argument(f"--{flag}", type=type_, help=help_)


def workers(args: argparse.Namespace) -> int:
    """What --workers says, or one a core. Raises BadInput below 1."""
    from ..offline.workers import default_workers

    if args.workers is not None and args.workers < 1:
        raise BadInput(f"--workers is {args.workers}; at least 1 is needed.")
    return default_workers() if args.workers is None else args.workers


def parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The whole command line; `run` holds what each command does."""
    whole = argparse.ArgumentParser(prog="python -m earmark", description="Hear and read what the features inside a model respond to.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help_: str, json_: bool = False) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_, description=help_)
        added.set_defaults(run=run[name])
        if json_:
            added.add_argument("--json", action="store_true", help="print JSON")
        return added

    command("list", "the dictionaries of the catalog", json_=True)

    command("formats", "whose checkpoints are read, and from which files", json_=True)

    unit = command("unit", "a unit's card: statistics, examples, neighbours", json_=True)
    unit.add_argument("dictionary")
    unit.add_argument("index", type=int)

    search = command("search", "units of all dictionaries by label, words or number; of one unit, samples by its peak", json_=True)
    search.add_argument("what", metavar="TEXT_OR_DICTIONARY", nargs="?", help="what to look for; before an index, the unit's dictionary")
    search.add_argument("index", type=int, nargs="?")
    search.add_argument("--label", help="a phone (sk, /s k/, /ʃ/), a word, or a class such as nasal, silence or comma, looked for in labels alone")
    search.add_argument("--min", type=float, help="smallest peak")
    search.add_argument("--max", type=float, help="largest peak")
    search.add_argument("--absolute", action="store_true", help="compare magnitudes: negative values count as strongly as positive ones")
    search.add_argument("--n", type=int, default=20, help="how many units or samples (default 20)")

    compare = command("compare", "two units beside each other, such as a feature and a neuron", json_=True)
    compare.add_argument("a", metavar="DICTIONARY:UNIT")
    compare.add_argument("b", metavar="DICTIONARY:UNIT")

    analyse = command("analyse", "the units that fire on a sound or a text", json_=True)
    analyse.add_argument("dictionary")
    analyse.add_argument("--audio", type=Path, help="sound file")
    _text(analyse)
    analyse.add_argument("--spliced", action="store_true", help="of a text, also what the model expects next with and without the SAE")
    analyse.add_argument("--top", type=int, default=20, help="how many units (default 20)")
    analyse.add_argument("--order", default="relative", help="relative, peak, mean or rarity (default relative)")
    analyse.add_argument("--no-transcript", action="store_true", help="of a sound, leave the model's transcript out")

    words = command("words", "the units that best tell given words from everything else, in a text or in the corpus", json_=True)
    words.add_argument("dictionary")
    words.add_argument("--words", required=True, help="with commas between them")
    _text(words)
    words.add_argument("--order", default="auroc", help="auroc or ratio (default auroc)")
    words.add_argument("--n", type=int, default=20, help="how many units (default 20)")

    edit = command("edit", "what a model hears, or goes on with, when units are turned up, down or off", json_=True)
    edit.add_argument("edits", nargs="+", metavar="DICTIONARY:UNIT=FACTOR", help="with +ADDED and @START..END (seconds, or numbers of tokens) behind it")
    edit.add_argument("--audio", type=Path, help="sound file")
    _text(edit)
    edit.add_argument("--tokens", type=int, default=40, help="how many tokens a text goes on with, 0 to 60 (default 40)")
    edit.add_argument("--seed", type=_seed, default=0, help="of the draws with which it goes on, the same plainly and edited")

    labels = command("labels", "how many units of a dictionary have a label that holds, beside those of random directions and of shifted labels", json_=True)
    labels.add_argument("dictionary")

    health = command("health", "how well a dictionary reconstructs, what its model still does with it, and what comes back of each unit", json_=True)
    health.add_argument("dictionary")
    health.add_argument("--recompute", action="store_true", help="run the model over held-out samples instead of reading what was stored")
    health.add_argument("--save", action="store_true", help="and store what was computed")
    health.add_argument("--workers", type=int, help="processes, with --recompute (default: one a core)")

    command("models", "the kinds of models that are read", json_=True)

    opened = command("open", "what a checkpoint is, what it needs, and its entry for catalog.toml", json_=True)
    opened.add_argument("name", metavar="REPO_FOLDER_OR_FILE", help="a file or folder, or owner/name[/path][@revision] on the Hub")
    _reading(opened)

    encode = command("encode", "activations in a .npy file into feature values, by a checkpoint alone")
    encode.add_argument("checkpoint", type=Path)
    encode.add_argument("--in", dest="input", type=Path, required=True, help="float [n_positions, width]")
    encode.add_argument("--out", dest="output", type=Path, required=True, help="float32 [n_positions, n_units], or [n_positions, width] with --decode")
    _reading(encode)
    encode.add_argument("--decode", action="store_true", help="write the reconstruction instead of the feature values")

    corpus = command("corpus", "make a corpus from recordings, or with --model from texts")
    corpus.add_argument("slug")
    corpus.add_argument(
        "--from",
        dest="source",
        nargs="+",
        required=True,
        metavar=("SOURCE", "WHERE"),
        help="folder, parquet or amazon-queen, of texts folder, parquet or public-domain; then a path, or a Hugging Face data set",
    )
    corpus.add_argument("--model", help="the language model of the catalog whose tokens the texts are cut into")
    corpus.add_argument("--table", type=Path, help="csv or tsv with file names and transcripts or classes; of texts, authors and titles")
    corpus.add_argument("--transcribe", metavar="MODEL", help="let this model of the catalog write the transcripts that the source lacks")
    corpus.add_argument("--drop-non-speech", action="store_true", help="leave out what is no speech")
    corpus.add_argument("--licence", help="licence of the recordings")
    corpus.add_argument("--title", help="name of the corpus for people")
    corpus.add_argument("--align", action="store_true", help="then find when each word and phone is said, as the command align does")
    corpus.add_argument("--letters", metavar="MODEL", help="with --align, as for the command align")
    corpus.add_argument("--workers", type=int, help="processes that align (default: one a core)")

    align = command("align", "when each word and phone of a corpus's transcripts is said")
    align.add_argument("slug", metavar="CORPUS")
    align.add_argument("--letters", metavar="MODEL", help="let this CTC model of the catalog name its own letters where nothing else is there")
    align.add_argument("--workers", type=int, help="processes (default: one a core)")

    _train(command("train", "train the SAE of a catalog entry, or one on activations of one's own"))

    sweep = command("sweep", "train and label every SAE of a recipe, compare them, and say which one ships", json_=True)
    sweep.add_argument("recipe", type=Path, help="a TOML file such as recipes/whisper-tiny.en-l2-sae.toml")
    sweep.add_argument("--run", dest="only", action="append", default=[], metavar="NAME", help="only this run, and no table; may be given several times")
    sweep.add_argument("--workers", type=int, help="processes that collect activations (default: one a core)")

    build = command("build", "tables for every unit of a dictionary and of the others over its layer")
    build.add_argument("dictionary")
    build.add_argument("--corpus", help="another corpus than the catalog's")
    build.add_argument("--workers", type=int, help="processes (default: one a core)")
    build.add_argument(
        "--peaks",
        type=int,
        metavar="N",
        help="samples kept of each unit for searches by peak: the N strongest, at either end where values are signed (default: all; signed: 500)",
    )
    build.add_argument("--only", action="store_true", help="this dictionary alone, without the others over its layer")

    label = command("label", "labels for every unit of a dictionary and of the others over its layer, from the words and phones of its corpus")
    label.add_argument("dictionary")
    label.add_argument("--workers", type=int, help="processes that collect activations (default: one a core)")
    label.add_argument("--only", action="store_true", help="this dictionary alone, without the others over its layer")

    publish = command("publish", "upload a dictionary's tables to a data set of the Hub")
    publish.add_argument("dictionary")
    publish.add_argument("repo", help="owner/name of a data set; made when it is not there")
    publish.add_argument("--with-corpus", action="store_true", help="and the corpus that they were built from")
    publish.add_argument("--dry-run", action="store_true", help="only say what would go")

    check = command("check", "recompute a random part of the tables from the model")
    check.add_argument("dictionary")
    check.add_argument("--labels", action="store_true", help="the labels and their held-out figures instead, by a second, naive route")
    check.add_argument("--seed", type=_seed, default=0, help="another part is chosen with another seed")
    check.add_argument("--workers", type=int, help="processes that collect activations, with --labels (default: one a core)")
    return whole
