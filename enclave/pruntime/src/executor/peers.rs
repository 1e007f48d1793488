//! The port to the other members. Untrusted both ways: bodies are encrypted and checked by hash,
//! acknowledgements are signed.

use crate::hexadecimal::hex;
use crate::limits::{
	BLOB_BYTES_MAX, CATCH_UPS_MAX, CATCH_UPS_OF_MEMBER_MAX, CATCH_UP_BYTES_MAX,
	CATCH_UP_WAIT_MS_MAX, INFO_BYTES_MAX, PEER_BODY_BYTES_MAX, PEER_IDLE_MS_MAX, PEER_WAIT_MS_MAX,
};
use anyhow::{anyhow, bail, ensure, Context};
use async_trait::async_trait;
use codec::{DecodeAll, Encode};
use phala_keys::state::SealedBody;
use phala_machine::{limits::PING_WAIT_MS, PingAnswer, ReplicatedBody};
use phala_protocol::{
	agents::{AgentId, Availability, StateVersion},
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

	/// Committed bodies of an agent, from `first` to `last` if the member has them, they have no more than
	/// [`CATCH_UP_BYTES_MAX`] and it gives them within [`CATCH_UP_WAIT_MS_MAX`]; if not, those that came.
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
		let found = info.get("identity").and_then(Value::as_str);
		ensure!(found == Some(&identity[..]), "another boot answers at its address");
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
			// As long as something comes: a page is long, and a link may be slow.
			let wait = Duration::from_millis(CATCH_UP_WAIT_MS_MAX);
			let asked = self.0.get(url(member, &path)?).timeout(wait);
			read(in_time(asked.send()).await??, PEER_BODY_BYTES_MAX).await
		})
		.await
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

/// Pages of bodies one after another, each SCALE, until there are enough. Who is slow, or stops, is not
/// waited for: what came by then is kept, and the rest is asked of somebody else. Of what is more than was
/// asked for nothing is kept.
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
	// The longest page more is no more than may be.
	while bytes <= CATCH_UP_BYTES_MAX - PEER_BODY_BYTES_MAX {
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
			Ok(page) => {
				let wanted = usize::try_from(last - from).unwrap_or(usize::MAX).saturating_add(1);
				bodies.extend(page.into_iter().take(wanted));
			}
			Err(error) if bodies.is_empty() => return Err(error),
			Err(_) => break,
		}
	}
	Ok(bodies)
}

/// How many agents' bodies are fetched at once, and of one member: what comes is held here, and nobody has
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

	fn page(count: usize) -> Vec<u8> {
		vec![SealedBody { key_number: 1, nonce: [0; 24], ciphertext: vec![7] }; count].encode()
	}

	/// Five bodies of a megabyte each.
	fn large_page() -> Vec<u8> {
		vec![SealedBody { key_number: 1, nonce: [0; 24], ciphertext: vec![7; 1 << 20] }; 5].encode()
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

	#[tokio::test]
	async fn a_glutton_gives_more_than_was_asked_for_and_no_more_is_held() {
		let glutton = |_: StateVersion| async { Ok(page(100)) };
		assert_eq!(collect(3, 5, glutton).await.unwrap().len(), 3);
		// Without an end.
		let stuffer = |_: StateVersion| async { Ok(large_page()) };
		let bodies = collect(1, StateVersion::MAX, stuffer).await.unwrap();
		let bytes: usize = bodies.iter().map(|body| body.ciphertext.len()).sum();
		assert!(bytes <= CATCH_UP_BYTES_MAX, "{bytes}");
		assert!(bytes + 2 * PEER_BODY_BYTES_MAX > CATCH_UP_BYTES_MAX, "{bytes}");
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
