"""Body bytes to named arrays and back, one file a media type."""
