"""Where jobs come from: files of every known format, and generators."""
