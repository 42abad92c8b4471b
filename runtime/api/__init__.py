"""The protocols, one file each: handlers from `Request` to `Reply`, free of any web framework."""
