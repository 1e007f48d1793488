//! The port to the other members. Untrusted both ways: bodies are encrypted and checked by hash,
//! acknowledgements are signed.

use crate::hexadecimal::hex;
use crate::limits::{
	BLOB_BYTES_MAX, CATCH_UP_BYTES_MAX, CATCH_UP_WAIT_MS_MAX, INFO_BYTES_MAX, PEER_BODY_BYTES_MAX,
	PEER_IDLE_MS_MAX, PEER_WAIT_MS_MAX,
};
use anyhow::{bail, ensure, Context};
use async_trait::async_trait;
use codec::{DecodeAll, Encode};
use phala_keys::state::SealedBody;
use phala_machine::{limits::PING_WAIT_MS, PingAnswer, ReplicatedBody};
use phala_protocol::{
	agents::{AgentId, Availability, StateVersion},
	clusters::Member,
	H256,
};
use serde_json::Value;
use std::{future::Future, time::Duration};

/// The other members of the cluster.
#[async_trait]
pub trait Peers: Send + Sync {
	/// Has a member keep a body; its acknowledgement, not checked yet.
	async fn keep(&self, member: &Member, body: &ReplicatedBody) -> anyhow::Result<Availability>;

	/// Where that boot of a member says that it stands, if it answers within [`PING_WAIT_MS`].
	async fn ping(&self, member: &Member) -> anyhow::Result<PingAnswer>;

	/// Committed bodies of an agent, from `first` to at least `last` if the member has them and gives
	/// them within [`CATCH_UP_WAIT_MS_MAX`]; if not, those that came.
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

	async fn ping(&self, member: &Member) -> anyhow::Result<PingAnswer> {
		let asked = self.0.get(url(member, "/v1/info")?);
		let answer = asked.timeout(Duration::from_millis(PING_WAIT_MS)).send().await?;
		let info: Value = serde_json::from_slice(&read(answer, INFO_BYTES_MAX).await?)?;
		let identity = hex(H256(member.identity));
		// Another process may have its address by now, or another boot of it.
		ensure!(info["identity"] == identity, "another boot answers at its address");
		ping_answer(&info)
	}

	async fn bodies(
		&self,
		member: &Member,
		agent: AgentId,
		first: StateVersion,
		last: StateVersion,
	) -> anyhow::Result<Vec<SealedBody>> {
		collect(first, last, |from| async move {
			let path = format!("/v1/cluster/agents/{}/bodies?from={from}", hex(agent));
			read(self.0.get(url(member, &path)?).send().await?, PEER_BODY_BYTES_MAX).await
		})
		.await
	}

	async fn code(&self, member: &Member, hash: H256) -> anyhow::Result<Vec<u8>> {
		let url = url(member, &format!("/v1/code/{}", hex(hash)))?;
		read(self.0.get(url).send().await?, BLOB_BYTES_MAX).await
	}
}

fn ping_answer(info: &Value) -> anyhow::Result<PingAnswer> {
	let height = info["height"].as_u64().and_then(|height| height.try_into().ok());
	let height = height.context("it does not say how far it follows the chain")?;
	let is_fresh = info["fresh"].as_bool().context("it does not say whether its view is fresh")?;
	Ok(PingAnswer { height, is_fresh })
}

/// Pages of bodies one after another, each SCALE, until there are enough. Who is slow, or stops, is not
/// waited for: what came by then can be checked and applied, and the rest is asked of somebody else.
async fn collect<F>(
	first: StateVersion,
	last: StateVersion,
	page: impl Fn(StateVersion) -> F,
) -> anyhow::Result<Vec<SealedBody>>
where
	F: Future<Output = anyhow::Result<Vec<u8>>>,
{
	let until = tokio::time::Instant::now() + Duration::from_millis(CATCH_UP_WAIT_MS_MAX);
	let mut bodies: Vec<SealedBody> = Vec::new();
	let mut bytes = 0;
	while bytes <= CATCH_UP_BYTES_MAX {
		let from = first.saturating_add(bodies.len() as u64);
		if from > last {
			break;
		}
		let Ok(answer) = tokio::time::timeout_at(until, page(from)).await else { break };
		let decoded = answer.and_then(|answer| {
			bytes += answer.len();
			Vec::<SealedBody>::decode_all(&mut &answer[..]).context("the bodies are malformed")
		});
		match decoded {
			Ok(page) if page.is_empty() => break,
			Ok(page) => bodies.extend(page),
			Err(error) if bodies.is_empty() => return Err(error),
			Err(_) => break,
		}
	}
	Ok(bodies)
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

#[cfg(test)]
mod tests {
	use super::*;

	fn page(count: usize) -> Vec<u8> {
		vec![SealedBody { key_number: 1, nonce: [0; 24], ciphertext: vec![7] }; count].encode()
	}

	/// Gives one body after another, each just before it would be given up.
	async fn dripper(_: StateVersion) -> anyhow::Result<Vec<u8>> {
		tokio::time::sleep(Duration::from_millis(PEER_WAIT_MS_MAX - 1)).await;
		Ok(page(1))
	}

	#[tokio::test(start_paused = true)]
	async fn a_dripper_is_waited_for_so_long_and_what_it_gave_is_taken() {
		let begun = tokio::time::Instant::now();
		let bodies = collect(1, 1_000_000, dripper).await.unwrap();
		let longest = Duration::from_millis(CATCH_UP_WAIT_MS_MAX + PEER_WAIT_MS_MAX);
		assert!(begun.elapsed() < longest);
		assert_eq!(bodies.len() as u64, CATCH_UP_WAIT_MS_MAX / (PEER_WAIT_MS_MAX - 1));
	}

	#[tokio::test]
	async fn what_came_before_a_quitter_went_away_is_taken_and_from_who_gives_nothing_nothing() {
		let quitter = |from: StateVersion| async move {
			ensure!(from < 3, "gone");
			Ok(page(2))
		};
		assert_eq!(collect(1, 9, quitter).await.unwrap().len(), 2);
		assert!(collect(3, 9, quitter).await.is_err());
		let babbler = |_: StateVersion| async { Ok(b"no bodies".to_vec()) };
		assert!(collect(1, 9, babbler).await.is_err());
		let all = |from: StateVersion| async move { Ok(page(usize::from(from <= 9))) };
		assert_eq!(collect(1, 9, all).await.unwrap().len(), 9);
	}

	#[test]
	fn a_ping_is_answered_by_who_says_where_it_stands() {
		let info = serde_json::json!({ "height": 7, "fresh": true, "identity": "0x" });
		let answer = PingAnswer { height: 7, is_fresh: true };
		assert_eq!(ping_answer(&info).unwrap(), answer);
		for said in [
			serde_json::json!({ "fresh": true }),
			serde_json::json!({ "height": 7 }),
			serde_json::json!({ "height": -1, "fresh": true }),
			serde_json::json!({ "height": u64::MAX, "fresh": true }),
			serde_json::json!([]),
		] {
			assert!(ping_answer(&said).is_err(), "{said}");
		}
	}
}
