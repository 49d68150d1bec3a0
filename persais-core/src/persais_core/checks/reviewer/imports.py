"""What a file imports."""

from __future__ import annotations

import ast

from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.surroundings import Surroundings


class Imports(Surroundings):
    """Judges the imports."""

    def import_modules(self, node: ast.Import) -> None:
        """`import x`, `import x as y`."""
        for alias in node.names:
            name, local = alias.name, alias.asname or alias.name.partition(".")[0]
            if "." in name and not (alias.asname and (name in self.known or name.startswith("bot."))):
                self.refuse(node, "import", f"import {name} binds a package; use `from … import …`")
            elif name.startswith("bot."):
                self.import_own(node, *name.rpartition(".")[::2], local)
            elif name not in self.known:
                self.refuse(node, "import", f"{name} may not be imported; {self.instead(name)}")
            if self.modules.get(local) == name:
                continue  # the same once more
            self.bind(node, local)
            self.modules[local] = name

    def import_names(self, node: ast.ImportFrom) -> None:
        """`from x import y`."""
        module = node.module or ""
        if module == "typing_extensions":
            module = "typing"  # where these names are to go
        if node.level:
            self.refuse(node, "import", "relative imports hide where a name comes from; use `from bot.… import …`")
            return
        for alias in node.names:
            local = alias.asname or alias.name
            if alias.name == "*":
                self.refuse(node, "import", f"`from {module} import *` hides what is imported; name it")
                continue
            if self.names.get(local) == f"{module}.{alias.name}":
                continue  # the same once more
            self.bind(node, local)
            if module == "bot" or module.startswith("bot."):
                self.import_own(node, module, alias.name, local)
            elif f"{module}.{alias.name}" in self.known and alias.name not in self.known.get(module, ()):
                self.modules[local] = f"{module}.{alias.name}"
            elif module not in self.known:
                self.refuse(node, "import", f"{module} may not be imported; {self.instead(module)}")
            elif alias.name not in self.known[module]:
                self.refuse(node, "import", f"{module}.{alias.name} may not be used; {self.offer(module)}")
            self.names.setdefault(local, f"{module}.{alias.name}")

    def import_own(self, node: ast.AST, module: str, name: str, local: str) -> None:
        """`from bot.agents.echo import Echo`, `from bot.tools import notes`."""
        parts = module.split(".")
        if len(parts) < 2 or parts[1] not in {"agents", "tools", "schemas"} or len(parts) > 3:
            self.refuse(node, "import", f"{module} may not be imported; only bot.agents, bot.tools and bot.schemas may")
        elif len(parts) == 2:
            if self.project.made(f"{module}.{name}") is None:
                self.refuse(node, "import", f"there is no {module}.{name}; import what is in the project")
            self.modules[local] = f"{module}.{name}"
        else:
            self.own_name(node, module, name)

    def bind(self, node: ast.AST, name: str) -> None:
        """An import may not take a name that means something else."""
        if name in BUILTINS or name.startswith("__"):
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; import it under another name")
        if name in self.modules or name in self.names:
            self.refuse(node, "shadow", f"{name} is imported twice; import it once")

    def instead(self, module: str) -> str:
        """What to use instead of a module."""
        if module.partition(".")[0] in {"requests", "httpx", "urllib", "aiohttp", "socket", "http"}:
            return "generated code has no network"
        if module.partition(".")[0] in {"os", "sys", "pathlib", "subprocess", "shutil", "io", "tempfile", "sqlite3"}:
            return "keep data in a schema with context.records(…)"
        if module == "pytest" or module.startswith("persais_core."):
            return "use the public names of persais_core" + (" and persais_core.testing" if self.is_test else "")
        return f"import from {', '.join(name for name in sorted(self.known) if not name.startswith('_'))}"
