"""The command line: one file a subcommand, each one call of the library and one print."""
