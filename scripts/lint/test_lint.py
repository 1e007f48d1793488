#!/usr/bin/env python3
"""Holds the checks of this folder against planted violations: each is found, and said so that it helps."""

import unittest

import dependency_rule
import error_docs
import licences
import manifests


def crate(name, features="", folder=""):
	return dependency_rule.Linked(name, frozenset(filter(None, features.split(","))), folder)


class DependencyRule(unittest.TestCase):
	# One crate a folder that a rule is about, none of which breaks one.
	CLEAN = {
		"protocol": ("phala-protocol", {crate("parity-scale-codec")}),
		"chain/node": ("phala-node", {crate("sc-cli"), crate("phala-runtime", folder="chain/runtime")}),
		"chain/pallets/agents": ("pallet-agents", {crate("phala-protocol", folder="protocol")}),
		"chain/pallets/registry": ("pallet-registry", {crate("phala-attestation", folder="enclave/attestation")}),
		"enclave/attestation": ("phala-attestation", {crate("phala-protocol", folder="protocol")}),
		"enclave/keys": ("phala-keys", {crate("tokio", "sync")}),
		"enclave/pruntime": ("phala-pruntime", {crate("axum"), crate("tokio", "net"), crate("phala-keys", folder="enclave/keys")}),
		"enclave/store": ("phala-store", {crate("redb"), crate("phala-protocol", folder="protocol")}),
		"agents/builder": ("phala-agent-builder", {crate("phala-agent-manifest", folder="agents/manifest")}),
		"relay/pherry": ("phala-pherry", {crate("axum"), crate("phala-chain-client", folder="clients/chain-client")}),
		"clients/verifier": ("phala-verifier", {crate("phala-light-client", folder="enclave/light-client")}),
		"clients/cli": ("phala-cli", {crate("reqwest"), crate("phala-keys", folder="enclave/keys")}),
	}

	def planted(self, folder, *linked):
		graph = dict(self.CLEAN)
		name, before = graph[folder]
		graph[folder] = (name, before | set(linked))
		return dependency_rule.violations(graph)

	def test_a_clean_house_breaks_no_rule(self):
		self.assertEqual(dependency_rule.violations(self.CLEAN), [])

	def test_what_is_planted_is_found(self):
		for folder, linked in [
			("protocol", crate("phala-keys", folder="enclave/keys")),
			("protocol", crate("tokio")),
			("enclave/pruntime", crate("phala-runtime", folder="chain/runtime")),
			("enclave/pruntime", crate("phala-pherry", folder="relay/pherry")),
			("enclave/pruntime", crate("phala-cli", folder="clients/cli")),
			("enclave/pruntime", crate("phala-devnet", folder="testing/devnet")),
			("enclave/pruntime", crate("phala-agent-builder", folder="agents/builder")),
			("agents/builder", crate("phala-keys", folder="enclave/keys")),
			("enclave/keys", crate("phala-sandbox", folder="enclave/sandbox")),
			("enclave/keys", crate("phala-store", folder="enclave/store")),
			("enclave/store", crate("phala-keys", folder="enclave/keys")),
			("enclave/store", crate("phala-state", folder="enclave/state")),
			("chain/pallets/registry", crate("phala-keys", folder="enclave/keys")),
			("chain/node", crate("phala-pherry", folder="relay/pherry")),
			("chain/node", crate("phala-chain-client", folder="clients/chain-client")),
			("chain/pallets/agents", crate("pallet-registry", folder="chain/pallets/registry")),
			("relay/pherry", crate("phala-cli", folder="clients/cli")),
			("relay/pherry", crate("phala-keys", folder="enclave/keys")),
			("clients/cli", crate("phala-pruntime", folder="enclave/pruntime")),
			("clients/verifier", crate("phala-pherry", folder="relay/pherry")),
			("clients/cli", crate("phala-runtime", folder="chain/runtime")),
			("enclave/keys", crate("wasmtime-environ")),
			("enclave/keys", crate("axum-core")),
			("enclave/attestation", crate("reqwest")),
			("enclave/keys", crate("hyper-util")),
			("enclave/keys", crate("tokio", "sync,rt")),
			("relay/pherry", crate("sc-network")),
			("clients/cli", crate("sc-cli")),
			("enclave/pruntime", crate("sc-executor")),
		]:
			with self.subTest(folder=folder, linked=linked.folder or linked.name):
				(sentence,) = self.planted(folder, linked)
				self.assertTrue(sentence.startswith(f"{folder} links {linked.folder or linked.name}"), sentence)
				self.assertIn("remove that dependency", sentence)

	def test_a_rule_about_nobody_is_found(self):
		graph = {folder: entry for folder, entry in self.CLEAN.items() if not folder.startswith("relay/")}
		self.assertIn("A rule is about relay/*", " ".join(dependency_rule.violations(graph)))

	def test_the_trees_lines_are_read(self):
		text = "phala-keys v0.1.0 (/home/a (b)/src/enclave/keys)|default\ntokio v1.54.1|default,sync (*)\nblst v0.3.17|\n\n"
		linked = dependency_rule.parse_tree(text, "/home/a (b)/src")
		self.assertEqual(
			linked,
			{crate("phala-keys", "default", "enclave/keys"), crate("tokio", "default,sync"), crate("blst")},
		)

	def test_alternatives_are_spelled_out(self):
		self.assertEqual(dependency_rule.alternatives("a/{b,c}/*"), ["a/b/*", "a/c/*"])
		self.assertEqual(dependency_rule.alternatives("{a,b}-{c,d}"), ["a-c", "a-d", "b-c", "b-d"])


class Licences(unittest.TestCase):
	def refused(self, expression, exceptions=()):
		return licences.violations([("thing", "1.0.0", expression)], list(exceptions), "a test")

	def test_what_is_allowed_passes(self):
		for expression in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR Apache-2.0", "(MIT OR GPL-3.0) AND ISC", "Apache-2.0 WITH LLVM-exception"]:
			self.assertEqual(self.refused(expression), [], expression)

	def test_what_is_not_allowed_is_found(self):
		for expression in [
			None, "", "AGPL-3.0", "GPL-3.0-only", "MIT AND AGPL-3.0", "(MIT OR ISC) AND GPL-2.0",
			"Apache-2.0 WITH Unknown-exception", licences.CLASSPATH, "MIT OR", "(MIT", "MIT ISC",
		]:
			(sentence,) = self.refused(expression)
			self.assertIn("thing 1.0.0 is under", sentence)
			self.assertIn("use another package, or add an exception", sentence)

	def test_an_exception_holds_for_its_name_and_licence_alone(self):
		self.assertEqual(self.refused("MPL-2.0", [("thing", "MPL-2.0", "because")]), [])
		self.assertEqual(len(self.refused("AGPL-3.0", [("thing", "MPL-2.0", "because")])), 2)
		self.assertEqual(len(self.refused("MPL-2.0", [("other", "MPL-2.0", "because")])), 2)

	def test_an_exception_that_nothing_needs_is_found(self):
		(sentence,) = self.refused("MIT", [("thing", "MPL-2.0", "because")])
		self.assertIn("remove it", sentence)

	def test_lock_files_are_read(self):
		lock = {"packages": {
			"": {"name": "ours"},
			"node_modules/a": {"version": "1.0.0", "license": "MIT"},
			"node_modules/a/node_modules/@b/c": {"version": "2.0.0"},
			"node_modules/ours": {"link": True},
		}}
		self.assertEqual(licences.npm_packages(lock), [("a", "1.0.0", "MIT"), ("@b/c", "2.0.0", None)])


class Manifests(unittest.TestCase):
	ROOT = """
[workspace]
members = ["a", "b"]

[workspace.lints.rust]
unsafe_code = "forbid"

[workspace.dependencies]
codec = "3"
hex = "0.4"

[profile.dev.package]
blake2.opt-level = 2
sha2.opt-level = 2
"""
	PACKAGE = "[package]\n" + "".join(f"{name}.workspace = true\n" for name in manifests.INHERITED)
	LINTS = "[lints]\nworkspace = true\n"
	A = PACKAGE + LINTS + "[dependencies]\ncodec = { workspace = true }\n"
	B = PACKAGE + LINTS + "[dependencies]\nhex = { workspace = true, features = ['serde'] }\n"

	def found(self, root=ROOT, a=A, b=B, own_lints=None):
		return manifests.violations(root, {"a": a, "b": b}, own_lints or {})

	def test_clean_manifests_pass(self):
		self.assertEqual(self.found(), [])

	def test_what_is_planted_is_found(self):
		for planted, sentence in [
			(dict(root=self.ROOT.replace('"a", "b"', '"b", "a"')), "members is not alphabetical at a"),
			(dict(root=self.ROOT.replace('codec = "3"\nhex = "0.4"', 'hex = "0.4"\ncodec = "3"')), "is not alphabetical at codec"),
			(dict(root=self.ROOT.replace("blake2", "zstd")), "is not alphabetical at sha2"),
			(dict(root=self.ROOT.replace('"a", "b"', '"a", "b", "c"')), "differ by c"),
			(dict(root=self.ROOT.replace('hex = "0.4"', 'hex = "0.4"\nurl = "2"')), "no crate uses url"),
			(dict(a=self.A + 'hex = "0.4"\n'), "hex is used by 2 crates"),
			(dict(a=self.A.replace("edition.workspace", "edition")), "`edition.workspace = true`"),
			(dict(a=self.A.replace(self.LINTS, "")), "its lints differ from the workspace's in unsafe_code"),
		]:
			with self.subTest(sentence=sentence):
				found = self.found(**planted)
				self.assertEqual(len(found), 1, found)
				self.assertIn(sentence, found[0])

	def test_lints_of_ones_own_need_a_reason(self):
		own = self.A.replace(self.LINTS, '[lints.rust]\nunsafe_code = "deny"\n')
		self.assertEqual(len(self.found(a=own)), 1)
		self.assertEqual(self.found(a=own, own_lints={("a", "unsafe_code"): "because"}), [])
		self.assertEqual(len(self.found(own_lints={("a", "unsafe_code"): "because"})), 1)


class ErrorDocs(unittest.TestCase):
	def found(self, *lines):
		doc = "\n".join(f"\t/// {line}" for line in lines)
		return error_docs.violations({"a.rs": f"{doc}\n\tpub fn a() {{}}\n"})

	def test_a_block_that_names_its_errors_is_left_alone(self):
		self.assertEqual(self.found("What it does."), [])
		self.assertEqual(self.found("What it does.", "", "# Errors", "Also", "[`RelayError::Backlog`]."), [])
		self.assertEqual(self.found("# Errors", "[`Error::OutOfOrder`] when it is."), [])

	def test_a_block_that_says_nothing_is_found_by_its_line(self):
		for nothing in ["When it does not start.", "[`WorkerError`], or why nobody answers.", "As [`Sender::send`]."]:
			with self.subTest(nothing=nothing):
				found = self.found("What it does.", "", "# Errors", nothing)
				self.assertEqual(len(found), 1, found)
				self.assertIn("a.rs:3", found[0])


if __name__ == "__main__":
	unittest.main()
