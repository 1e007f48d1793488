#!/usr/bin/env python3
"""The licences of all that is linked, built or tested with: crates by cargo, npm packages by lock file.

An expression passes if one of its alternatives (`OR`) has only allowed parts (`AND`). What is not
allowed in general may be excepted by name, with the reason; an exception that nothing needs fails too.
"""

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys

ALLOWED = {
	"0BSD",
	"Apache-2.0",
	"Apache-2.0 WITH LLVM-exception",
	"BSD-2-Clause",
	"BSD-3-Clause",
	"BSL-1.0",
	"BlueOak-1.0.0",
	"CC0-1.0",
	"CDLA-Permissive-2.0",
	"ISC",
	"MIT",
	"MIT-0",
	"Unicode-3.0",
	"Unlicense",
	"Zlib",
}

CLASSPATH = "GPL-3.0-or-later WITH Classpath-exception-2.0"

# Packages, by name: (which, under what, because).
CRATES = [
	("sc-*", CLASSPATH, "the node links them, and the exception lets its binary have our terms: LICENSE-NOTES.md"),
	("option-ext", "MPL-2.0", "used unchanged: the MPL asks for the sources of its own files only"),
	("webpki-roots", "MPL-2.0", "used unchanged: data, under the MPL before version 1"),
]
PACKAGES = [
	("smoldot", CLASSPATH, "polkadot-api lists it; the test client does not load it, and nothing of ours ships it"),
	("spdx-exceptions", "CC-BY-3.0", "a list of names that npm tools of the tests read"),
]


def parts(expression):
	"""SPDX -> alternatives, each the set of licences that it asks for. `/` is how old crates say OR."""
	tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression or "")

	def either():
		alternatives = both()
		while tokens and tokens[0] in ("OR", "/"):
			tokens.pop(0)
			alternatives = alternatives + both()
		return alternatives

	def both():
		alternatives = one()
		while tokens and tokens[0] == "AND":
			tokens.pop(0)
			right = one()
			alternatives = [a | b for a in alternatives for b in right]
		return alternatives

	def one():
		token = tokens.pop(0)
		if token == "(":
			inner = either()
			if tokens.pop(0) != ")":
				raise ValueError(expression)
			return inner
		if token in (")", "AND", "OR", "WITH", "/"):
			raise ValueError(expression)
		if tokens and tokens[0] == "WITH":
			tokens.pop(0)
			token = f"{token} WITH {tokens.pop(0)}"
		return [{token}]

	try:
		found = either()
		if tokens:
			raise ValueError(expression)
		return found
	except (IndexError, ValueError):
		return []


def violations(packages, exceptions, where):
	"""`packages`: (name, version, expression). Returns sentences."""
	found, used = [], set()
	for name, version, expression in sorted(set(packages), key=lambda package: (package[0], package[1])):
		if any(alternative <= ALLOWED for alternative in parts(expression)):
			continue
		needed = [
			row for row in exceptions
			if fnmatch.fnmatchcase(name, row[0]) and any(alternative <= ALLOWED | {row[1]} for alternative in parts(expression))
		]
		used.update(needed[:1])
		if not needed:
			found.append(
				f"{name} {version} is under {expression or 'no licence that it names'}, which is not allowed: use another "
				"package, or add an exception with its reason to scripts/lint/licences.py."
			)
	for row in exceptions:
		if row not in used:
			found.append(f"Nothing in {where} needs the exception for {row[0]}: remove it from scripts/lint/licences.py.")
	return found


def crates(cargo):
	"""All that any crate of ours is linked, built or tested with on this machine, our own crates apart."""
	text = subprocess.check_output(
		[*cargo, "metadata", "--locked", "--format-version", "1", "--filter-platform", host(cargo)]
	)
	licences = {
		(package["name"], package["version"]): package["license"]
		for package in json.loads(text)["packages"]
		if package["source"]
	}
	# Metadata lists optional crates that no feature asks for; the tree does not.
	tree = subprocess.check_output(
		[*cargo, "tree", "--locked", "--workspace", "--prefix", "none", "--format", "{p}"], text=True
	)
	seen = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
	return [
		(name, version, licences[name, version])
		for name, version in ((name, version.removeprefix("v")) for name, version in seen)
		if (name, version) in licences
	]


def host(cargo):
	text = subprocess.check_output([*cargo, "-vV"], text=True)
	return re.search(r"^host: (\S+)$", text, re.M)[1]


def npm_packages(lock):
	return [
		(path.rsplit("node_modules/", 1)[1], package["version"], package.get("license"))
		for path, package in lock["packages"].items()
		if "node_modules/" in path and not package.get("link")
	]


def main():
	argparse.ArgumentParser(description=__doc__).parse_args()
	rust = crates([os.environ.get("CARGO", "cargo")])
	npm = []
	for folder, folders, files in os.walk("."):
		folders[:] = [name for name in folders if name not in ("node_modules", "target", ".git")]
		if "package-lock.json" in files:
			with open(os.path.join(folder, "package-lock.json")) as file:
				npm += npm_packages(json.load(file))
	found = violations(rust, CRATES, "Cargo.lock") + violations(npm, PACKAGES, "the package-lock.json files")
	for sentence in found:
		print(f"licences: {sentence}", file=sys.stderr)
	print(f"licences: {len(rust)} crates, {len(set(npm))} npm packages, {len(found)} violations")
	return 1 if found else 0


if __name__ == "__main__":
	sys.exit(main())
