"""`python -m docs.generate` rewrites the generated blocks and files; `--check` names the stale ones."""

import argparse
import sys

from docs.generate.blocks import ROOT, pages, regenerate
from docs.generate.client_errors import CLIENT_FILES
from docs.generate.deployment import FILES


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is stale")
    check = parser.parse_args().check
    stale = 0
    for path, generate in {**dict.fromkeys(pages(), regenerate), **FILES, **CLIENT_FILES}.items():
        text = path.read_text() if path.exists() else ""
        generated = generate(text)
        if generated != text:
            stale += 1
            sys.stdout.write(f"{'stale' if check else 'updated'}: {path.relative_to(ROOT)}\n")
            if not check:
                path.write_text(generated)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
