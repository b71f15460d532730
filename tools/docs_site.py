"""What MkDocs is told besides mkdocs.yml: the README is the first page, and files beside docs/ that
pages link to are on the site. So every link leads to the same on GitHub and on the site.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

HOME = "README.md"
LINK = re.compile(r"\]\(([^)#\s:]+)(?=[)#])")


def on_files(files: Files, config) -> Files:
    """Add the README, and what the pages link to outside docs/."""
    root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
    files.append(_generated(config, root / HOME, HOME))
    for page in list(files.documentation_pages()):
        folder = root if page.src_uri == HOME else docs
        for link in LINK.findall(page.content_string):
            path = (folder / link).resolve()
            place = str(path.relative_to(root)) if path.is_relative_to(root) else ""
            if path.is_file() and docs not in path.parents and not files.get_file_from_path(place):
                files.append(_generated(config, path, place))
    return files


def on_page_markdown(markdown: str, page, **_) -> str:
    """Let the links lead there: on the site, all that is in docs/ lies beside the README."""
    away = "docs/" if page.file.src_uri == HOME else "../"
    return LINK.sub(lambda found: f"]({found[1].removeprefix(away)}", markdown)


def _generated(config, path: Path, place: str) -> File:
    return File.generated(config, place, abs_src_path=str(path))
