#!/usr/bin/env python3
"""The habits of the manifests: alphabetical lists, shared versions in one place, lints for every crate."""

import argparse
import glob
import os
import re
import sys
import tomllib

KINDS = ("dependencies", "dev-dependencies", "build-dependencies")
INHERITED = ("version", "edition", "license", "rust-version", "publish")
# Workspaces of their own, with a lock file of their own, because.
APART = {
	"benches/election": "optimised, it is all of a node that a measurement needs, and little of its build",
	"benches/page-stores": "nobody who builds the network compiles three stores in order to compare them",
	"benches/stock-template": "another runtime, which only a comparison needs",
}
# Crates with a table of lints of their own, where they differ from the workspace's, because.
OWN_LINTS = {
	("testing/devnet", "unsafe_code"): "tying a child process to its parent's life takes one unsafe call",
}


def unsorted(names):
	"""The first name that stands after one that it should precede."""
	return next((later for earlier, later in zip(names, names[1:]) if later < earlier), None)


def keys(text, table):
	"""The keys of a table in the order of the file."""
	match = re.search(rf"^\[{re.escape(table)}\]\n(.*?)(?=^\[|\Z)", text, re.M | re.S)
	return re.findall(r"^([\w-]+)(?:\.[\w-]+)? = ", match[1], re.M) if match else []


def flat(lints):
	return {(tool, name): level for tool, table in lints.items() for name, level in table.items()}


def violations(root_text, members, own_lints=OWN_LINTS):
	"""`members`: folder -> its manifest. Returns sentences."""
	found = []
	root = tomllib.loads(root_text)
	workspace = root["workspace"]
	lists = {
		"members": workspace["members"],
		"[workspace.dependencies]": keys(root_text, "workspace.dependencies"),
		"[profile.dev.package]": keys(root_text, "profile.dev.package"),
	}
	for name, entries in lists.items():
		if late := unsorted(entries):
			found.append(f"Cargo.toml: {name} is not alphabetical at {late}: move that line to its place.")
	if missing := set(workspace["members"]) ^ set(members):
		found.append(f"Cargo.toml: members and the folders with a Cargo.toml differ by {', '.join(sorted(missing))}.")

	shared = workspace["dependencies"]
	users = {}
	for folder, text in members.items():
		manifest = tomllib.loads(text)
		for kind in KINDS:
			for name, value in manifest.get(kind, {}).items():
				users.setdefault(name, {})[folder] = isinstance(value, dict) and bool(value.get("workspace"))
		for name in INHERITED:
			if manifest["package"].get(name) != {"workspace": True}:
				found.append(f"{folder}/Cargo.toml: write `{name}.workspace = true`.")
		lints = manifest.get("lints", {})
		if lints != {"workspace": True}:
			theirs, ours = flat(lints), flat(workspace["lints"])
			for key in sorted(theirs.keys() | ours.keys()):
				if theirs.get(key) != ours.get(key) and (folder, key[1]) not in own_lints:
					found.append(
						f"{folder}/Cargo.toml: its lints differ from the workspace's in {key[1]}: write `[lints] workspace = true`, "
						"or name the difference and its reason in scripts/lint/manifests.py."
					)
	for name, folders in sorted(users.items()):
		for folder, inherits in sorted(folders.items()):
			# A crate that depends on itself, for the features of its tests, cannot inherit.
			if not inherits and (name in shared or len(folders) > 1):
				path = tomllib.loads(members[folder])
				if any(isinstance(path.get(kind, {}).get(name), dict) and path[kind][name].get("path") == "." for kind in KINDS):
					continue
				found.append(
					f"{folder}/Cargo.toml: {name} is used by {len(folders)} crates: its version belongs in "
					"[workspace.dependencies], and here `{ workspace = true }`."
				)
	for name in shared:
		if name not in users:
			found.append(f"Cargo.toml: no crate uses {name} of [workspace.dependencies]: remove it.")
	for (folder, name), why in own_lints.items():
		if folder in members and tomllib.loads(members[folder]).get("lints", {}) == {"workspace": True}:
			found.append(f"{folder} needs no lints of its own any more ({name}: {why}): remove that from scripts/lint/manifests.py.")
	return found


def main():
	argparse.ArgumentParser(description=__doc__).parse_args()
	read = lambda path: open(path, encoding="utf-8").read()
	paths = glob.glob("*/Cargo.toml") + glob.glob("*/*/Cargo.toml") + glob.glob("*/*/*/Cargo.toml")
	members = {
		os.path.dirname(path): read(path)
		for path in sorted(paths)
		if "node_modules" not in path and os.path.dirname(path) not in APART
	}
	found = violations(read("Cargo.toml"), members)
	for sentence in found:
		print(f"manifests: {sentence}", file=sys.stderr)
	print(f"manifests: {len(members)} crates, {len(found)} violations")
	return 1 if found else 0


if __name__ == "__main__":
	sys.exit(main())
