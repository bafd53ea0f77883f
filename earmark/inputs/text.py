"""Text into tokens by a model's own tokenizer, and tokens into what is printed at each position.

A token stands for bytes, not for characters: where one token's bytes are no text alone, bytes are joined until they decode and one span
stands over the group. So what is printed, put together, is the text that was read, and every position has its place in it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from ..errors import BadInput
from ..units import TokenSample

MAX_CHARACTERS = 200_000
"""longer texts are refused before they are cut into tokens"""
MAX_TOKENS = 1_024
"""read at once unless told otherwise; longer texts are cut, with a notice"""
_SPACE = "\u2581"
"""how SentencePiece writes a space"""


class Tokens:
    """A tokenizer of transformers' (tokenizer.json), and whether a text begins with a token of its own."""

    def __init__(self, tokenizer: Any, n_context: int, always_bos: bool = False):
        """n_context: positions the model has. always_bos: put the beginning-of-text token in front even where the tokenizer by itself would not.

        Without it the tokenizer's own convention holds. Names of special tokens inside a text are read as plain text.
        """
        self._backend = tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = True
        self._added = {i: token.content for i, token in self._backend.get_added_tokens_decoder().items()}
        self.n_context = n_context
        own = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        begins = tokenizer.bos_token_id is not None and self._backend.encode("a").ids[:1] == [tokenizer.bos_token_id]
        self.before: tuple[int, ...] = (own,) if own is not None and (always_bos or begins) else ()

    def read(self, text: str, max_tokens: int | None = None) -> TokenSample:
        """A text's tokens behind what begins it; max_tokens counts the text's own, and a longer one is cut, with a notice.

        Raises BadInput for an empty text, and for one beyond all limits.
        """
        check_text(text)
        return self._read(text, self.before, min(max_tokens or MAX_TOKENS, self.n_context - len(self.before)))

    def document(self, text: str) -> TokenSample:
        """A text of any length, to be cut into windows: nothing stands in front of it."""
        return self._read(text, (), None)

    def _read(self, text: str, before: tuple[int, ...], limit: int | None) -> TokenSample:
        """limit: most tokens of the text's own."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # half of a surrogate pair is no text
        found = self._backend.encode(text, add_special_tokens=False).ids
        notices = (f"The text has {len(found):,} tokens; the first {limit:,} are read.",) if limit is not None and len(found) > limit else ()
        ids, n = (*before, *found[:limit]), len(before)
        pieces = [self._bytes_of(i) for i in ids]
        if len(pieces) > n and _n_spaces(b"".join(pieces[n:])) > _n_spaces(text.encode()):  # SentencePiece puts a space in front
            pieces[n] = pieces[n][1:]
        return TokenSample(ids, printed(pieces), n, notices)

    def sample(self, ids: Iterable[int]) -> TokenSample:
        """Tokens that are at hand already, exactly as they are. Raises BadInput for an id outside the vocabulary."""
        ids = tuple(ids)
        return TokenSample(ids, printed(self._bytes_of(i) for i in ids))

    def window(self, ids: Iterable[int]) -> TokenSample:
        """A window of a corpus, behind what begins every text. Raises BadInput for an id outside the vocabulary."""
        whole = self.sample((*self.before, *ids))
        return TokenSample(whole.ids, whole.tokens, len(self.before))

    def written(self, ids: Iterable[int]) -> str:
        """What tokens print together; bytes at the end that make no whole character yet are left out."""
        return codecs.getincrementaldecoder("utf-8")("replace").decode(b"".join(map(self._shown_bytes, ids)))

    def alone(self, token: int) -> str:
        """What a token prints by itself; bytes that are no text alone as SentencePiece writes them, such as <0xE6><0x97>."""
        piece = self._shown_bytes(token)
        try:
            return piece.decode("utf-8")
        except UnicodeDecodeError:
            return "".join(f"<0x{byte:02X}>" for byte in piece)

    def _shown_bytes(self, token: int) -> bytes:
        """The same for a token that a model expects: some have more rows than their tokenizer has tokens, and those have but a number."""
        known = token in self._added or self._backend.id_to_token(token) is not None
        return self._bytes_of(token) if known else f"<{token}>".encode()

    def _bytes_of(self, token: int) -> bytes:
        """What a token stands for; special tokens stand for their own names."""
        if token in self._added:
            return self._added[token].encode()
        piece = self._backend.id_to_token(token)
        if piece is None:
            raise BadInput(f"The vocabulary has no token {token}; it has {self._backend.get_vocab_size()}.")
        return self._piece_to_bytes(piece)

    @cached_property
    def _piece_to_bytes(self) -> Callable[[str], bytes]:
        """Told by how the tokenizer decodes: byte by byte (GPT-2's way) or as SentencePiece does, with <0x..> for bytes outside its pieces."""
        decoder: dict[str, Any] = json.loads(self._backend.decoder.__getstate__()) if self._backend.decoder is not None else {}
        parts: list[dict[str, Any]] = decoder.get("decoders", [decoder])
        kinds = {part["type"] for part in parts if part}
        if "ByteLevel" in kinds:
            from transformers.convert_slow_tokenizer import bytes_to_unicode

            byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
            return lambda piece: bytes(byte_of[letter] for letter in piece)
        if kinds & {"ByteFallback", "Metaspace"}:
            return lambda piece: bytes([int(piece[3:5], 16)]) if len(piece) == 6 and piece.startswith("<0x") else piece.replace(_SPACE, " ").encode()
        return str.encode


def check_text(text: str) -> None:
    """Raise BadInput for an empty text, and for one beyond all limits."""
    if not text.strip():
        raise BadInput("The text is empty. Bring a sentence or more.")
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"The text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken. Cut out the part you want.")


def _n_spaces(text: bytes) -> int:
    return len(text) - len(text.lstrip(b" "))


def printed(pieces: Iterable[bytes]) -> tuple[str, ...]:
    """What each position prints: the text of a group stands at its first position, '' at the others.

    Bytes are joined until they decode as UTF-8; those that never will are shown as U+FFFD.
    """
    tokens: list[str] = []
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    first, group = 0, ""
    for i, piece in enumerate(pieces):
        tokens.append("")
        group += decoder.decode(piece)
        if group and not decoder.getstate()[0]:
            tokens[first], first, group = group, i + 1, ""
    if first < len(tokens):
        tokens[first] = group + decoder.decode(b"", final=True)
    return tuple(tokens)
