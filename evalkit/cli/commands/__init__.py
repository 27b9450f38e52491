"""The commands of the command line, in a file each or with their kin; `evalkit.cli` puts them together."""
