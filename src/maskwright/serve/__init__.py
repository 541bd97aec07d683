"""A web server for a model: endpoints, batches of requests that wait together, and a page.

Nothing is imported here, because what makes an engine does not need FastAPI.
"""
