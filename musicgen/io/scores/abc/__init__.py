"""A reader of ABC tunes; `tune.score_of` reads one."""
