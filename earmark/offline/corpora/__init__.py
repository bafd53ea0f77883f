"""From a source of recordings to a corpus: decoded, screened, transcribed, kept as it came."""
