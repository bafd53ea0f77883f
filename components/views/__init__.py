"""What each page shows, as typed values: from a link and the shelf to what the templates print. No gradio."""
