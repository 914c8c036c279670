"""Exports every family with every tokenizer that can be exported, and prints the largest difference from PyTorch.

    python pipelines/checks/onnx_runs.py [--tokenizers notes,parts,remi]

Models are small and not trained, with weights that make logits of some size. Needs the extra `onnx`; about 3 s of CPU
each.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from musicgen.checkpoint import Run, model_for
from musicgen.exporting import export_onnx
from musicgen.models import FAMILIES
from musicgen.recipe import Recipe
from musicgen.tokenizers import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizers", default="notes,parts,remi,performance,abc")
    names = parser.parse_args().tokenizers.split(",")
    worst = 0.0
    for family in FAMILIES:
        for name in names:
            tokenizer = load_tokenizer({"name": name})
            shape = {"family": family, "width": 16, "layers": 2, "heads": 2, "context": 40, "with_memory": False}
            model = model_for(Recipe(shape), tokenizer).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(4)
            with tempfile.TemporaryDirectory() as folder:
                run = Run(model, tokenizer, Recipe(shape), {}, "run", "0" * 64)
                done = export_onnx(run, Path(folder) / "model.onnx")
            worst = max(worst, done.largest_difference)
            print(f"{family:12} {name:12} {done.largest_difference:.1e}  takes {', '.join(done.inputs)}", flush=True)
    print(f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
