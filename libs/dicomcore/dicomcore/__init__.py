"""The domain of DicomTools, pure: no socket, file, clock, thread, event loop or logger."""
