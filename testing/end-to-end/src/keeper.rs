//! What the networks share on which things go wrong: three workers, and an agent that keeps what it is
//! told under each path.

use crate::{
	cluster::{agent_at, http, Network, OPERATORS},
	measurement, trials, until,
};
use anyhow::Context;
use phala_protocol::{boot::WorkerId, H256};
use serde_json::Value;

/// A network of three workers, so that two are a majority without the third, and an agent on it.
pub struct Stage {
	pub network: Network,
	/// Its id.
	pub agent: String,
	/// What its enclaves' code is.
	pub measurement: H256,
}

impl trials::Stage for Stage {
	async fn start() -> anyhow::Result<Self> {
		// Its pool takes again what it has seen, so that what an old boot signed is refused for what it
		// is.
		let mut network = Network::start(&["--tx-ban-seconds=0"]).await?;
		network.join(OPERATORS[0], &[]).await?;
		let agent = network.deploy("keeper", &["--timeout", "5"]).await?;
		let measurement = measurement(&network.devnet.supervisor).await?;
		Ok(Self { network, agent, measurement })
	}

	fn last_words(&self) -> String {
		self.network.last_words()
	}
}

impl Stage {
	/// The worker that has the agent's lease.
	pub async fn holder(&self) -> anyhow::Result<WorkerId> {
		let status = self.network.phala.ok(&["agent", "status", &self.agent]).await?;
		let worker = status["lease"]["worker"].as_u64();
		Ok(u32::try_from(worker.with_context(|| format!("somebody has the lease: {status:#}"))?)?)
	}

	/// Has the agent keep `text` under `path`, through the chain; the answer.
	pub async fn keep(&self, path: &str, text: &str) -> anyhow::Result<Value> {
		let ask = ["call", &self.agent, path, "--on-chain", "--data", text];
		let answer = self.network.phala.ok(&ask).await?;
		anyhow::ensure!(answer["verified"] == true, "it is proven: {answer:#}");
		Ok(answer)
	}

	/// What one worker's own server says that the agent keeps under `path`; nothing while it does not
	/// answer.
	pub async fn kept_at(&self, worker: WorkerId, path: &str) -> anyhow::Result<Value> {
		let url = &self.network.devnet.worker(worker)?.enclave.public_url;
		let answer = http(url, "GET", &format!("/agents/{}{path}", self.agent), &[]).await?;
		let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
		anyhow::ensure!(answer.status == 200, "worker {worker} refuses: {} {said}", answer.status);
		Ok(said["kept"].clone())
	}

	/// Waits until a worker has the agent ready.
	pub async fn ready_at(&self, worker: WorkerId) -> anyhow::Result<()> {
		let of = self.network.devnet.worker(worker)?;
		until(&format!("worker {worker} to have the agent ready"), || async {
			let found = agent_at(of, &self.agent).await?;
			Ok(found.filter(|found| found["ready"] == true).map(drop))
		})
		.await
		.with_context(|| of.enclave.process.log().last_lines())
	}
}
