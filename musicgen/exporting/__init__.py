"""A trained model as a file for other programs: ONNX, checked against PyTorch before it is written."""

from musicgen.exporting.writing import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
