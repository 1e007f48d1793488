#!/usr/bin/env python3
"""The dependency rule: who may know whom, checked against what cargo links into each crate.

The rules are the tables below, one line each. A crate's links are those of its default features on
this machine, each crate taken by itself, so that a feature that another crate switches on does not
count against it. Development dependencies are free: they are linked into tests only.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
from typing import NamedTuple

PURE = "enclave/{attestation,keys,light-client,machine,state}"

# Folders of ours: (whoever is in these, must not link those, but for these, because).
OURS = [
	("protocol", "*", "", "protocol is what all agree on, so it knows nobody of ours"),
	("enclave/*", "chain/*", "", "an enclave learns of the chain by proofs, never by its code"),
	("enclave/*", "relay/*", "", "relayers are untrusted, and an enclave links none of them"),
	("enclave/*", "clients/*", "", "an enclave serves clients and links none of them"),
	("enclave/*", "agents/builder", "", "an enclave runs components and makes none"),
	("enclave/*", "testing/*", "", "what is measured holds no test support"),
	("enclave/store", "enclave/*", "", "what parses the host's files knows no keys, and nothing that has them"),
	(PURE, "enclave/{pruntime,sandbox,store}", "", "the pure core knows neither its shell nor the engine nor disks"),
	("chain/*", "enclave/*", "enclave/attestation", "the chain shares the verification of evidence and no more"),
	("chain/*", "relay/*", "", "the chain does not know who relays"),
	("chain/*", "clients/*", "", "the chain does not know its clients"),
	("chain/*", "testing/*", "", "the chain holds no test support"),
	("chain/pallets/*", "chain/pallets/*", "", "pallets know each other only through traits in protocol"),
	("relay/*", "clients/*", "clients/chain-client", "relayer and clients share chain-client and no more"),
	# The command line links the relayer through devnet, which asks enclaves for their status with its client.
	("clients/{chain-client,verifier}", "relay/*", "", "relayer and clients share chain-client and no more"),
	("relay/*", "enclave/*", "", "a relayer moves bytes and knows nothing"),
	("clients/*", "enclave/{pruntime,sandbox,store}", "", "clients speak to enclaves and do not hold one"),
	("agents/*", "{chain,clients,enclave,relay,testing}/*", "", "who builds an agent needs no network of ours"),
	("clients/*", "chain/*", "", "clients know the chain by protocol and metadata, not by its code"),
]

# Crates from the registry: (whoever is in these, must not link this, but with these features, because).
# `None`: not at all. A set: linked with no other features than these.
REGISTRY = [
	(PURE, "wasmtime*", None, "the pure core runs no guests"),
	(PURE, "axum*", None, "the pure core serves nobody"),
	(PURE, "reqwest", None, "the pure core calls nobody"),
	(PURE, "hyper*", None, "the pure core speaks no HTTP"),
	# What commonware brings: channels, and macros that need no runtime.
	(PURE, "tokio", {"default", "macros", "sync", "tokio-macros"}, "the pure core has no runtime, clock, disk or network"),
	("protocol", "tokio", None, "protocol is no_std types"),
	("{enclave,relay,clients}/*", "sc-*", None, "the node alone links crates under the GPL: LICENSE-NOTES.md"),
]


class Linked(NamedTuple):
	name: str
	features: frozenset
	folder: str  # of ours: relative to the workspace; else empty


def alternatives(pattern):
	"""`a/{b,c}/*` -> [`a/b/*`, `a/c/*`]"""
	start = pattern.find("{")
	if start < 0:
		return [pattern] if pattern else []
	end = pattern.index("}", start)
	return [
		pattern[:start] + middle + rest
		for middle in pattern[start + 1 : end].split(",")
		for rest in alternatives(pattern[end + 1 :]) or [""]
	]


def matches(name, pattern):
	return any(fnmatch.fnmatchcase(name, one) for one in alternatives(pattern))


def parse_tree(text, root):
	"""The lines of `cargo tree --prefix none --format '{p}|{f}'`."""
	linked = set()
	for line in text.splitlines():
		line = line.removesuffix(" (*)").strip()
		if not line:
			continue
		package, features = line.rsplit("|", 1)
		folder = ""
		if package.endswith(")") and "(" + root in package:
			path = package[package.rindex("(" + root) + 1 : -1]
			folder = os.path.relpath(path, root)
		linked.add(Linked(package.split(" ")[0], frozenset(filter(None, features.split(","))), folder))
	return linked


def violations(graph, ours=OURS, registry=REGISTRY):
	"""`graph`: folder of a crate of ours -> (its name, what it links). Returns sentences."""
	found = []
	for subject, *_ in [*ours, *registry]:
		if not any(matches(folder, subject) for folder in graph):
			found.append(f"A rule is about {subject}, which is no crate of ours: correct or remove it in scripts/lint/dependency_rule.py.")
	for folder, (name, linked) in sorted(graph.items()):

		def say(other, what, why):
			found.append(
				f"{folder} links {what}: {why}. `cargo tree -p {name} -e normal,build,features -i {other.name}` shows "
				"by which way; remove that dependency (types that both need belong in `protocol`)."
			)

		for subject, forbidden, but, why in ours:
			if matches(folder, subject):
				for other in sorted(linked):
					if other.folder and other.folder != folder and matches(other.folder, forbidden) and not matches(other.folder, but):
						say(other, other.folder, why)
		for subject, forbidden, allowed, why in registry:
			if matches(folder, subject):
				for other in sorted(linked, key=lambda one: one.name):
					if other.folder or not matches(other.name, forbidden):
						continue
					more = other.features if allowed is None else other.features - allowed
					if allowed is None:
						say(other, other.name, why)
					elif more:
						say(other, f"{other.name} with {', '.join(sorted(more))}", f"{why} (only {', '.join(sorted(allowed))} may be on)")
	return found


def workspace(cargo):
	text = subprocess.check_output([*cargo, "metadata", "--locked", "--no-deps", "--format-version", "1"])
	metadata = json.loads(text)
	root = metadata["workspace_root"]
	graph = {}
	for package in metadata["packages"]:
		folder = os.path.relpath(os.path.dirname(package["manifest_path"]), root)
		tree = subprocess.check_output(
			[*cargo, "tree", "--locked", "--package", package["name"], "--edges", "normal,build,no-proc-macro"]
			+ ["--prefix", "none", "--format", "{p}|{f}"],
			text=True,
			cwd=root,
		)
		graph[folder] = (package["name"], parse_tree(tree, root))
	return graph


def main():
	argparse.ArgumentParser(description=__doc__).parse_args()
	graph = workspace([os.environ.get("CARGO", "cargo")])
	found = violations(graph)
	for sentence in found:
		print(f"dependency rule: {sentence}", file=sys.stderr)
	print(f"dependency rule: {len(graph)} crates, {len(OURS) + len(REGISTRY)} rules, {len(found)} violations")
	return 1 if found else 0


if __name__ == "__main__":
	sys.exit(main())
