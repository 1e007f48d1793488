//! The port to the other members. Untrusted both ways: bodies are encrypted and checked by hash,
//! acknowledgements are signed.

use crate::hexadecimal::hex;
use crate::limits::{
	BLOB_BYTES_MAX, CATCH_UP_BYTES_MAX, INFO_BYTES_MAX, PEER_BODY_BYTES_MAX, PEER_IDLE_MS_MAX,
	PEER_WAIT_MS_MAX,
};
use anyhow::{bail, ensure, Context};
use async_trait::async_trait;
use codec::{DecodeAll, Encode};
use phala_keys::state::SealedBody;
use phala_machine::{limits::PING_WAIT_MS, ReplicatedBody};
use phala_protocol::{
	agents::{AgentId, Availability, StateVersion},
	clusters::Member,
	H256,
};
use serde_json::Value;
use std::time::Duration;

/// The other members of the cluster.
#[async_trait]
pub trait Peers: Send + Sync {
	/// Has a member keep a body; its acknowledgement, not checked yet.
	async fn keep(&self, member: &Member, body: &ReplicatedBody) -> anyhow::Result<Availability>;

	/// Whether that boot of a member answers, within [`PING_WAIT_MS`].
	async fn ping(&self, member: &Member) -> anyhow::Result<()>;

	/// Committed bodies of an agent, from `first` to at least `last` if the member has them.
	async fn bodies(
		&self,
		member: &Member,
		agent: AgentId,
		first: StateVersion,
		last: StateVersion,
	) -> anyhow::Result<Vec<SealedBody>>;

	/// A component or manifest, not checked yet.
	async fn code(&self, member: &Member, hash: H256) -> anyhow::Result<Vec<u8>>;
}

/// Their public servers.
pub struct HttpPeers(reqwest::Client);

impl HttpPeers {
	/// Fails when the system's client cannot be made.
	pub fn new() -> anyhow::Result<Self> {
		let client = reqwest::Client::builder()
			.timeout(Duration::from_millis(PEER_WAIT_MS_MAX))
			.pool_idle_timeout(Duration::from_millis(PEER_IDLE_MS_MAX))
			.redirect(reqwest::redirect::Policy::none())
			.no_proxy()
			.build()?;
		Ok(Self(client))
	}
}

#[async_trait]
impl Peers for HttpPeers {
	async fn keep(&self, member: &Member, body: &ReplicatedBody) -> anyhow::Result<Availability> {
		let url = url(member, "/v1/cluster/bodies")?;
		let answer = self.0.post(url).body(body.encode()).send().await?;
		let answer = read(answer, 1024).await?;
		Availability::decode_all(&mut &answer[..]).context("its acknowledgement is malformed")
	}

	async fn ping(&self, member: &Member) -> anyhow::Result<()> {
		let asked = self.0.get(url(member, "/v1/info")?);
		let answer = asked.timeout(Duration::from_millis(PING_WAIT_MS)).send().await?;
		let info: Value = serde_json::from_slice(&read(answer, INFO_BYTES_MAX).await?)?;
		let identity = hex(H256(member.identity));
		// Another process may have its address by now, or another boot of it.
		ensure!(info["identity"] == identity, "another boot answers at its address");
		Ok(())
	}

	async fn bodies(
		&self,
		member: &Member,
		agent: AgentId,
		first: StateVersion,
		last: StateVersion,
	) -> anyhow::Result<Vec<SealedBody>> {
		let mut bodies: Vec<SealedBody> = Vec::new();
		let mut bytes = 0;
		while first + (bodies.len() as u64) <= last {
			let from = first + bodies.len() as u64;
			let path = format!("/v1/cluster/agents/{}/bodies?from={from}", hex(agent));
			let answer =
				read(self.0.get(url(member, &path)?).send().await?, PEER_BODY_BYTES_MAX).await?;
			let page = Vec::<SealedBody>::decode_all(&mut &answer[..])
				.context("the bodies are malformed")?;
			bytes += answer.len();
			// What there is by then can be checked and applied; the rest is for the next time.
			if page.is_empty() || bytes > CATCH_UP_BYTES_MAX {
				break;
			}
			bodies.extend(page);
		}
		Ok(bodies)
	}

	async fn code(&self, member: &Member, hash: H256) -> anyhow::Result<Vec<u8>> {
		let url = url(member, &format!("/v1/code/{}", hex(hash)))?;
		read(self.0.get(url).send().await?, BLOB_BYTES_MAX).await
	}
}

fn url(member: &Member, path: &str) -> anyhow::Result<String> {
	let base = std::str::from_utf8(&member.endpoint).context("its endpoint is no text")?;
	Ok(format!("{}{path}", base.trim_end_matches('/')))
}

/// A body that is not longer than it may be.
async fn read(mut answer: reqwest::Response, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
	let status = answer.status();
	let mut bytes = Vec::new();
	while let Some(chunk) = answer.chunk().await? {
		if bytes.len() + chunk.len() > bytes_max {
			bail!("more than {bytes_max} bytes");
		}
		bytes.extend_from_slice(&chunk);
	}
	if !status.is_success() {
		bail!("{status}: {}", String::from_utf8_lossy(&bytes));
	}
	Ok(bytes)
}
