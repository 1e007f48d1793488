//! The port to the other members. Untrusted both ways: pages are encrypted and checked by their names,
//! acknowledgements are signed.

use crate::hexadecimal::hex;
use crate::limits::{
	BLOB_BYTES_MAX, CATCH_UPS_MAX, CATCH_UPS_OF_MEMBER_MAX, CATCH_UP_WAIT_MS_MAX, INFO_BYTES_MAX,
	PAGES_BYTES_MAX, PEER_IDLE_MS_MAX, PEER_WAIT_MS_MAX,
};
use anyhow::{anyhow, bail, ensure, Context};
use async_trait::async_trait;
use codec::{Compact, Decode, DecodeAll, Encode};
use phala_machine::{limits::PING_WAIT_MS, PingAnswer, ReplicatedBody};
use phala_protocol::{
	agents::{AgentId, Availability},
	boot::WorkerId,
	clusters::Member,
	H256,
};
use serde_json::Value;
use std::{
	collections::BTreeMap,
	future::Future,
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The other members of the cluster.
#[async_trait]
pub trait Peers: Send + Sync {
	/// Has a member keep a body; its acknowledgement, not checked yet.
	async fn keep(&self, member: &Member, body: &ReplicatedBody) -> anyhow::Result<Availability>;

	/// Where that boot of a member says that it stands, if it answers within [`PING_WAIT_MS`].
	async fn ping(&self, member: &Member) -> anyhow::Result<PingAnswer>;

	/// So many pages of an agent's state, as a sealed question asks for them, not checked yet.
	async fn pages(
		&self,
		member: &Member,
		agent: AgentId,
		asked: usize,
		question: Vec<u8>,
	) -> anyhow::Result<Vec<Option<Vec<u8>>>>;

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
		let found = info.get("identity").and_then(Value::as_str);
		ensure!(found == Some(&identity[..]), "another boot answers at its address");
		ping_answer(&info)
	}

	async fn pages(
		&self,
		member: &Member,
		agent: AgentId,
		asked: usize,
		question: Vec<u8>,
	) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
		let path = format!("/v1/cluster/agents/{}/pages", hex(agent));
		// As long as something comes: pages are long, and a link may be slow.
		let wait = Duration::from_millis(CATCH_UP_WAIT_MS_MAX);
		let asking = self.0.post(url(member, &path)?).body(question).timeout(wait);
		let answer = read(in_time(asking.send()).await??, PAGES_BYTES_MAX).await?;
		decode_all_pages(&answer, asked)
	}

	async fn code(&self, member: &Member, hash: H256) -> anyhow::Result<Vec<u8>> {
		let url = url(member, &format!("/v1/code/{}", hex(hash)))?;
		read(self.0.get(url).send().await?, BLOB_BYTES_MAX).await
	}
}

fn ping_answer(info: &Value) -> anyhow::Result<PingAnswer> {
	let height = info.get("height").and_then(Value::as_u64);
	let height = height.and_then(|height| height.try_into().ok());
	let height = height.context("it does not say how far it follows the chain")?;
	let is_fresh = info.get("fresh").and_then(Value::as_bool);
	let is_fresh = is_fresh.context("it does not say whether its view is fresh")?;
	Ok(PingAnswer { height, is_fresh })
}

/// What comes within [`PEER_WAIT_MS_MAX`].
async fn in_time<F: Future>(coming: F) -> anyhow::Result<F::Output> {
	let wait = Duration::from_millis(PEER_WAIT_MS_MAX);
	let came = tokio::time::timeout(wait, coming).await;
	came.map_err(|_| anyhow!("nothing came for {PEER_WAIT_MS_MAX} ms"))
}

/// As many as were asked for: bytes of which each says "none" would take many times as much memory.
fn decode_all_pages(answer: &[u8], asked: usize) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
	let count = Compact::<u32>::decode(&mut &answer[..]).context("the pages are malformed")?.0;
	ensure!(count as usize == asked, "{count} pages for {asked} names");
	Vec::decode_all(&mut &answer[..]).context("the pages are malformed")
}

/// How many agents' pages are fetched at once, and of one member: what comes is held here, and nobody has
/// checked it.
pub struct CatchUps {
	all: Arc<Semaphore>,
	of_member: Mutex<BTreeMap<WorkerId, Arc<Semaphore>>>,
}

/// A place of these.
pub struct CatchUp {
	_all: OwnedSemaphorePermit,
	_of_member: OwnedSemaphorePermit,
}

impl Default for CatchUps {
	fn default() -> Self {
		Self { all: Arc::new(Semaphore::new(CATCH_UPS_MAX)), of_member: Mutex::default() }
	}
}

impl CatchUps {
	/// Waits for a place: no longer for one at this member than for an answer of it, for another may be
	/// asked meanwhile.
	pub async fn begin(&self, worker: WorkerId) -> anyhow::Result<CatchUp> {
		let places = {
			let mut members = self.of_member.lock().unwrap_or_else(PoisonError::into_inner);
			let new = || Arc::new(Semaphore::new(CATCH_UPS_OF_MEMBER_MAX));
			members.entry(worker).or_insert_with(new).clone()
		};
		let _of_member =
			in_time(places.acquire_owned()).await.context("it is asked for others already")??;
		let _all = self.all.clone().acquire_owned().await?;
		Ok(CatchUp { _all, _of_member })
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
	while let Some(chunk) = in_time(answer.chunk()).await?? {
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

	#[test]
	fn a_babbler_gives_no_pages() {
		assert!(decode_all_pages(b"no pages", 2).is_err());
		let pages = vec![Some(vec![7]), None];
		let mut bytes = pages.encode();
		assert_eq!(decode_all_pages(&bytes, 2).unwrap(), pages);
		for asked in [1, 3] {
			assert!(decode_all_pages(&bytes, asked).is_err());
		}
		bytes.push(0);
		assert!(decode_all_pages(&bytes, 2).is_err());
	}

	#[tokio::test(start_paused = true)]
	async fn a_dripper_takes_its_own_places_and_no_others() {
		let catch_ups = CatchUps::default();
		let mut dripped = Vec::new();
		for _ in 0..CATCH_UPS_OF_MEMBER_MAX {
			dripped.push(catch_ups.begin(1).await.unwrap());
		}
		let begun = tokio::time::Instant::now();
		assert!(catch_ups.begin(1).await.is_err(), "another member is asked for the next");
		assert!(begun.elapsed() <= Duration::from_millis(PEER_WAIT_MS_MAX + 1));
		let other = catch_ups.begin(2).await.unwrap();
		drop(dripped.pop());
		assert!(catch_ups.begin(1).await.is_ok());
		drop(other);
	}

	#[tokio::test(start_paused = true)]
	async fn however_many_agents_a_boot_lacks_so_many_are_fetched_at_once() {
		let catch_ups = CatchUps::default();
		let mut held = Vec::new();
		for number in 0..CATCH_UPS_MAX {
			held.push(
				catch_ups.begin((number / CATCH_UPS_OF_MEMBER_MAX) as WorkerId).await.unwrap(),
			);
		}
		let mut next = std::pin::pin!(catch_ups.begin(WorkerId::MAX));
		let wait = Duration::from_millis(10 * PEER_WAIT_MS_MAX);
		assert!(tokio::time::timeout(wait, &mut next).await.is_err());
		drop(held.pop());
		assert!(next.await.is_ok());
	}

	/// A page in so many parts, each just in time, before it stops or ends.
	struct SlowLink {
		left: u8,
		stops: bool,
		next: std::pin::Pin<Box<tokio::time::Sleep>>,
	}

	impl SlowLink {
		async fn read(stops: bool) -> anyhow::Result<Vec<u8>> {
			let link = Self { left: 3, stops, next: Box::pin(Self::part()) };
			let answer = axum::http::Response::new(reqwest::Body::wrap(link));
			read(answer.into(), 16).await
		}

		fn part() -> tokio::time::Sleep {
			tokio::time::sleep(Duration::from_millis(PEER_WAIT_MS_MAX - 1))
		}
	}

	impl http_body::Body for SlowLink {
		type Data = axum::body::Bytes;
		type Error = std::io::Error;

		fn poll_frame(
			mut self: std::pin::Pin<&mut Self>,
			context: &mut std::task::Context<'_>,
		) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
			use std::task::Poll;
			match (self.left, self.stops) {
				(0, true) => return Poll::Pending,
				(0, false) => return Poll::Ready(None),
				_ => {}
			}
			std::task::ready!(self.next.as_mut().poll(context));
			self.left -= 1;
			self.next.set(Self::part());
			let part = axum::body::Bytes::copy_from_slice(&[self.left]);
			Poll::Ready(Some(Ok(http_body::Frame::data(part))))
		}
	}

	#[tokio::test(start_paused = true)]
	async fn a_slow_link_is_waited_for_as_long_as_something_comes() {
		assert_eq!(SlowLink::read(false).await.unwrap(), [2, 1, 0]);
		assert!(SlowLink::read(true).await.is_err());
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
