"""Running a user's Python file as it is now."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


class _FreshLoader(SourceFileLoader):
    """Compiles the file each time. Bytecode kept beside it is taken for current while size and second are: an edit can leave both as they were."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def run_file(name: str, path: Path) -> ModuleType:
    """The file as the module `name`, registered under it. Raises whatever its code raises."""
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    assert spec is not None, "it has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
