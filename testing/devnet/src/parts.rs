//! Node, enclave and relayer as processes.

use crate::{
	limits::NODE_STOP_MAX,
	process::{Process, Supervisor},
};
use anyhow::{ensure, Context};
use phala_pherry::enclave::EnclaveClient;
use phala_protocol::{boot::WorkerId, relay::EnclaveStatus, H256};
use std::path::PathBuf;

/// What all nodes of a test or a development network are given.
const ON_LOOPBACK: [&str; 4] = [
	"--no-telemetry",
	"--no-mdns",
	"--listen-addr=/ip4/127.0.0.1/tcp/0",
	// A throw-away node has no key file.
	"--unsafe-force-node-key-generation",
];

/// A chain node.
pub struct Node {
	pub process: Process,
	/// Its JSON-RPC, over websocket.
	pub url: String,
	arguments: Vec<String>,
}

impl Node {
	/// On loopback, with arguments of its own. Port 0 takes a free one.
	pub async fn start(
		supervisor: &Supervisor,
		name: &str,
		arguments: &[String],
		port: u16,
	) -> anyhow::Result<Self> {
		let mut all: Vec<_> = ON_LOOPBACK.iter().map(|text| (*text).to_owned()).collect();
		all.push(format!("--rpc-port={port}"));
		// Its metrics have no free port unless it is asked for one.
		if !arguments.iter().any(|argument| argument.starts_with("--prometheus-port")) {
			all.push("--no-prometheus".into());
		}
		all.extend_from_slice(arguments);
		let mut process = supervisor.start(name, "phala-node", &all, &[])?;
		let line = process.line_after("Running JSON-RPC server: addr=").await?;
		let address = line.split(',').next().unwrap_or_default();
		// A node whose port is taken takes another one.
		ensure!(
			port == 0 || port_of(address) == Some(port),
			"port {port} is taken: stop what listens there, or choose another one"
		);
		let url = format!("ws://{address}");
		Ok(Self { process, url, arguments: arguments.to_vec() })
	}

	/// Where it serves its metrics, of a node that was started with `--prometheus-port`.
	pub async fn metrics_address(&mut self) -> anyhow::Result<String> {
		self.process.line_after("Prometheus exporter started at ").await
	}

	/// Has it end, and starts it with the same database on the same port; what it wrote before.
	///
	/// It is not killed: a node hands its last blocks to threads that write them, and a single
	/// validator whose finality nobody else keeps would make other ones final in their place.
	pub async fn restart(mut self, supervisor: &Supervisor) -> anyhow::Result<(Self, crate::Log)> {
		let name = self.process.name().to_owned();
		self.process.terminate();
		self.process.ended(NODE_STOP_MAX).await?;
		let log = self.process.log();
		let port = port_of(&self.url).context("it has a port")?;
		Ok((Self::start(supervisor, &name, &self.arguments, port).await?, log))
	}
}

/// The port of an address or a URL without a path.
pub fn port_of(url: &str) -> Option<u16> {
	url.trim_end_matches('/').rsplit(':').next()?.parse().ok()
}

/// Where a worker's sealed state is.
pub fn state_folder(supervisor: &Supervisor, worker: WorkerId) -> PathBuf {
	supervisor.folder().join("state").join(format!("worker-{worker}"))
}

/// A pruntime process: one boot.
pub struct Enclave {
	pub process: Process,
	pub relay_url: String,
	pub public_url: String,
}

impl Enclave {
	/// Starts a boot without waiting until it listens; [`Starting::listening`] does. Its disk is that of
	/// the boots before it: a folder beside all others of the network.
	pub fn start(
		supervisor: &Supervisor,
		name: &str,
		genesis: H256,
		worker: WorkerId,
		arguments: &[String],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Starting> {
		let state = state_folder(supervisor, worker);
		std::fs::create_dir_all(&state)?;
		let own = [
			format!("--genesis={genesis:?}"),
			format!("--worker={worker}"),
			format!("--state-dir={}", state.display()),
		];
		let all = [&own[..], arguments].concat();
		Ok(Starting(supervisor.start(name, "pruntime", &all, variables)?))
	}

	/// Its relay server.
	pub fn client(&self) -> anyhow::Result<EnclaveClient> {
		Ok(EnclaveClient::new(&self.relay_url)?)
	}

	/// Where it stands.
	pub async fn status(&self) -> anyhow::Result<EnclaveStatus> {
		Ok(self.client()?.status().await?)
	}
}

/// An enclave that may not listen yet.
pub struct Starting(Process);

impl Starting {
	/// Once it listens.
	pub async fn listening(self) -> anyhow::Result<Enclave> {
		let Self(mut process) = self;
		let relay_url = format!("http://{}", process.line_after("relay http://").await?);
		let public_url = format!("http://{}", process.line_after("public http://").await?);
		Ok(Enclave { process, relay_url, public_url })
	}
}

/// A pherry process.
pub struct Relayer {
	pub process: Process,
	/// Where it says how it goes.
	pub status_url: String,
}

impl Relayer {
	/// Between `node` and `enclave`, paying as `operator`, a secret that everybody knows: it stands
	/// in the command line. Port 0 takes a free one for its status.
	pub async fn start(
		supervisor: &Supervisor,
		name: &str,
		node: &str,
		enclave: &str,
		operator: &str,
		status_port: u16,
	) -> anyhow::Result<Self> {
		let arguments = [
			format!("--node={node}"),
			format!("--enclave={enclave}"),
			format!("--operator={operator}"),
			format!("--status-listen=127.0.0.1:{status_port}"),
		];
		let mut process = supervisor.start(name, "pherry", &arguments, &[])?;
		let status_url = process.line_after("status: ").await?;
		Ok(Self { process, status_url })
	}
}
