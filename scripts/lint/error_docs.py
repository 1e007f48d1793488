#!/usr/bin/env python3
"""A block `# Errors` in a doc names errors, as [`SomeError::Variant`]: that it fails when it does not work says the type."""

import argparse
import re
import subprocess
import sys

HEADING = re.compile(r"\s*//[/!] # Errors$")
DOC = re.compile(r"\s*//[/!]")
NAMED = re.compile(r"\[`(\w+::)*\w*Error::\w+`\]")


def violations(sources):
	"""`sources`: path -> text. Returns sentences."""
	found = []
	for path, text in sources.items():
		lines = text.split("\n")
		for at, line in enumerate(lines):
			if not HEADING.match(line):
				continue
			end = next((end for end in range(at + 1, len(lines)) if not DOC.match(lines[end])), len(lines))
			if not NAMED.search(" ".join(lines[at + 1 : end])):
				found.append(
					f"{path}:{at + 1}: this block `# Errors` names no error: remove it, and say in a sentence of the "
					"doc what a caller has to know."
				)
	return found


def main():
	argparse.ArgumentParser(description=__doc__).parse_args()
	paths = subprocess.check_output(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"], text=True)
	sources = {}
	for path in paths.splitlines():
		try:
			with open(path, encoding="utf-8") as source:
				sources[path] = source.read()
		except FileNotFoundError:
			pass  # Deleted, and not committed yet.
	found = violations(sources)
	for sentence in found:
		print(f"docs of errors: {sentence}", file=sys.stderr)
	print(f"docs of errors: {len(sources)} files, {len(found)} violations")
	return 1 if found else 0


if __name__ == "__main__":
	sys.exit(main())
