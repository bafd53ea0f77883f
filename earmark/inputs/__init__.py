"""What people bring, made into samples: sound into waveforms, text into tokens."""
