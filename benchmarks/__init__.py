"""Figures that prove the speed: `make bench` prints one JSON line a figure. README.md beside this says what each one measures."""
