"""Write requests to the stream, follow their results, and manage the background catalogue."""
