"""What the shelf says over HTTP: values as JSON and CSV, sounds, pictures, previews. Starlette only; no gradio, no torch."""
