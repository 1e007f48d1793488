//! A network with value, as `phala network new` begins it, on two hosts: docs/running-a-validator.md.

use anyhow::{ensure, Context};
use phala_devnet::{Folder, Process, Supervisor};
use phala_end_to_end::{
	cases,
	chain::unhex,
	cli::Said,
	hosts::{Hosts, ADDRESSES},
	supervisor,
	trials::{self, Stage},
	until, PATIENCE,
};
use phala_protocol::domains;
use serde_json::Value;
use std::{
	fs,
	os::unix::fs::PermissionsExt,
	path::{Path, PathBuf},
	process::ExitCode,
};

/// Finality needs three of them.
const VALIDATORS: u16 = 4;

/// Ports of the first host's validators, and of the second's one.
const PORTS: [u16; 4] = [30_333, 30_334, 30_335, 30_333];

struct TwoHosts {
	nodes: Vec<Process>,
	/// What `phala network new` made, and what it said of that.
	network: PathBuf,
	made: Value,
	hosts: Hosts,
	supervisor: Supervisor,
	folder: Folder,
}

impl Stage for TwoHosts {
	async fn start() -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		let supervisor = supervisor(folder.path())?;
		let hosts = Hosts::connect()?;
		let network = folder.path().join("network");
		let (to, count) = (network.display().to_string(), format!("--validators={VALIDATORS}"));
		let at = PORTS
			.iter()
			.enumerate()
			.map(|(index, port)| format!("--at={}:{port}", ADDRESSES[host_of(index)]));
		let at: Vec<_> = at.collect();
		let mut arguments = vec!["--json", "network", "new", &to, &count, "--name=Two Hosts"];
		arguments.extend(at.iter().map(String::as_str));
		let phala = supervisor.binary("phala")?;
		let making = supervisor.run(&phala, &arguments, &[], folder.path(), PATIENCE);
		let said = Said::of(making.await?);
		ensure!(said.code == Some(0), "{}", said.stderr);
		let made = said.json()?;
		Ok(Self { nodes: Vec::new(), network, made, hosts, supervisor, folder })
	}

	fn last_words(&self) -> String {
		let said = self.nodes.iter();
		said.map(|node| format!("{} wrote last:{}\n", node.name(), node.log().last_lines()))
			.collect()
	}
}

/// All but the last validator are on the first host.
fn host_of(index: usize) -> usize {
	usize::from(index == PORTS.len() - 1)
}

impl TwoHosts {
	/// As the document says.
	fn start_validator(&self, index: usize) -> anyhow::Result<Process> {
		let number = index + 1;
		let own = self.network.join("validators").join(number.to_string());
		let base = self.folder.path().join(format!("validator-{number}"));
		let arguments = [
			format!("--chain={}", self.network.join("chain.json").display()),
			"--validator".into(),
			format!("--base-path={}", base.display()),
			format!("--keystore-path={}", own.join("keystore").display()),
			format!("--node-key-file={}", own.join("node-key").display()),
			format!("--listen-addr=/ip4/0.0.0.0/tcp/{}", PORTS[index]),
			format!("--public-addr=/ip4/{}/tcp/{}", ADDRESSES[host_of(index)], PORTS[index]),
			format!("--rpc-port={}", 9_943 + number),
			"--no-telemetry".into(),
			"--no-prometheus".into(),
			"--no-mdns".into(),
		];
		let node = self.supervisor.binary("phala-node")?;
		let name = format!("validator-{number}");
		self.hosts.start(&self.supervisor, host_of(index), &name, &node, &arguments)
	}
}

/// The height of the last final block that a node spoke of.
fn finalized(node: &Process) -> u64 {
	let log = node.log().text();
	let heights = log.lines().filter_map(|line| {
		let (_, rest) = line.split_once("finalized #")?;
		rest.split(' ').next()?.parse().ok()
	});
	heights.max().unwrap_or_default()
}

fn main() -> ExitCode {
	let reason = Hosts::connect().err().map(|error| format!("{error:#}"));
	trials::run_unless(
		reason,
		"hosts",
		cases![
			a_new_network_has_keys_of_its_own_and_knows_no_software_evidence,
			a_second_host_joins_and_its_votes_count,
		],
	)
}

async fn a_new_network_has_keys_of_its_own_and_knows_no_software_evidence(
	stage: &mut TwoHosts,
) -> anyhow::Result<()> {
	let read = |name: &str| anyhow::Ok(fs::read_to_string(stage.network.join(name))?);
	let chain: Value = serde_json::from_str(&read("chain.json")?)?;
	assert_eq!(
		(chain["name"].as_str(), chain["id"].as_str()),
		(Some("Two Hosts"), Some("two_hosts"))
	);
	assert_eq!(chain["bootNodes"].as_array().map(Vec::len), Some(PORTS.len()));

	// Its runtime is not compressed in this build, so that what it names can be read.
	const CODE: &str = "0x3a636f6465";
	let code = chain["genesis"]["raw"]["top"][CODE].as_str().context("it has a runtime")?;
	let code = unhex(code)?;
	ensure!(code.starts_with(b"\0asm"), "it is no plain wasm");
	let names = |text: &[u8]| code.windows(text.len()).any(|found| found == text);
	ensure!(names(domains::BOOT_STATEMENT.as_bytes()));
	ensure!(!names(domains::SOFTWARE_REPORT.as_bytes()), "its runtime knows software evidence");

	let genesis: Value = serde_json::from_str(&read("genesis.json")?)?;
	assert_eq!(genesis["sudo"]["key"], Value::Null);
	assert_eq!(genesis["staking"]["stakers"].as_array().map(Vec::len), Some(PORTS.len()));
	let validators = stage.made["validators"].as_array().context("it has validators")?;
	for validator in validators {
		let own = Path::new(validator["folder"].as_str().context("it has a folder")?);
		let secrets = fs::read_dir(own.join("keystore"))?.map(|entry| Ok(entry?.path()));
		let secrets: Vec<PathBuf> = secrets.collect::<std::io::Result<_>>()?;
		assert_eq!(secrets.len(), 4, "a key for each of a session's");
		for secret in [secrets, vec![own.join("stash"), own.join("node-key")]].concat() {
			let mode = fs::metadata(&secret)?.permissions().mode() & 0o777;
			ensure!(mode == 0o600, "{} has mode {mode:o}", secret.display());
		}
	}

	// A second one into the same folder would overwrite keys.
	let phala = stage.supervisor.binary("phala")?;
	let arguments = ["--json", "network", "new", &stage.network.display().to_string()];
	let folder = stage.folder.path();
	let again = stage.supervisor.run(&phala, &arguments, &[], folder, PATIENCE).await?;
	let again = Said::of(again);
	ensure!(again.code == Some(1) && again.stderr.contains("is not empty"), "{again:?}");
	Ok(())
}

async fn a_second_host_joins_and_its_votes_count(stage: &mut TwoHosts) -> anyhow::Result<()> {
	// Three of four on the first host: a network that lives.
	for index in 0..PORTS.len() - 1 {
		let node = stage.start_validator(index)?;
		stage.nodes.push(node);
	}
	until("the first host to finalize", || async {
		Ok((finalized(&stage.nodes[0]) >= 3).then_some(()))
	})
	.await?;

	// The second has the specification, its own keys, and a cable.
	let joined = stage.start_validator(PORTS.len() - 1)?;
	stage.nodes.push(joined);
	let before = finalized(&stage.nodes[0]);
	until("the second host to follow, and to author", || async {
		let joined = &stage.nodes[PORTS.len() - 1];
		let authored = joined.log().text().contains("Pre-sealed block for proposal");
		Ok((finalized(joined) > before && authored).then_some(()))
	})
	.await?;

	// Without its votes there are two of four.
	let ended = stage.nodes.remove(PORTS.len() - 2);
	ended.kill().await;
	let heights = || stage.nodes.iter().map(finalized);
	let last = heights().max().unwrap_or_default();
	until("both hosts to finalize together", || async {
		Ok(heights().all(|height| height > last + 3).then_some(()))
	})
	.await?;
	Ok(())
}
