"""Gradio as the host of the page: what it takes in, makes and sends, what is kept from it, and how those who wait in its lines are told."""
