"""Files to resources to a graph: loading, selecting, fingerprints, lint, scaffolding. Touches neither lake nor state; secrets stay unresolved.

The rest stands in modules of its own, imported where it is used: `project.lint`, `project.reports`, `project.schema`, `project.scaffold`,
`project.python_models`, `project.lineage`.
"""

from headwater.project.config import find_project
from headwater.project.graph import Graph, Node
from headwater.project.loaded import LoadedProject
from headwater.project.loader import load_project
from headwater.project.selectors import select

__all__ = ["Graph", "LoadedProject", "Node", "find_project", "load_project", "select"]
