"""How the configuration is read and judged: sources, mistakes, contradictions, files, ports."""
