//! Between members, and code for all: on the public server.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/cluster/bodies` | a lease holder has this member keep what a run wrote, encrypted |
//! | `POST /v1/cluster/agents/{id}/pages` | gives a member encrypted pages of an agent's state, by a question that members alone can make |
//! | `GET`, `PUT /v1/code/{hash}` | a component or manifest that the chain names |

use super::{
	bodies::{Bodies, BodyError},
	bounded,
	connections::Ending,
	parse_hash, places, ServerError,
};
use crate::{
	executor::{Executor, Lane},
	limits,
	store::CodeError,
	sync::lock,
};
use axum::{
	body::{Body, Bytes},
	extract::{Extension, Path, State},
	http::StatusCode,
	middleware::from_fn_with_state,
	routing::{get, post, put},
	Router,
};
use codec::{DecodeAll, Encode};
use phala_machine::{Answer, Event, MachineError, ReplicatedBody};
use phala_protocol::{boot::WorkerId, refusals::Refusal};
use std::{
	collections::BTreeMap,
	future::Future,
	sync::{Arc, Mutex},
	time::Duration,
};
use tokio::{
	sync::{OwnedSemaphorePermit, Semaphore},
	task::AbortHandle,
};

/// The server's routes.
pub fn router(executor: Executor, members: Bodies, callers: Bodies) -> Router {
	let keep = Router::new()
		.route("/v1/cluster/bodies", post(keep))
		.with_state((executor.clone(), members.clone()));
	let give = Router::new().route("/v1/cluster/agents/{id}/pages", post(give)).with_state((
		executor.clone(),
		members,
		Gives::default(),
	));
	let take_code = Router::new()
		.route("/v1/code/{hash}", put(take_code))
		.with_state((executor.clone(), callers));
	Router::new()
		.route("/v1/code/{hash}", get(code))
		.layer(from_fn_with_state(places(), bounded))
		.with_state(executor)
		.merge(keep)
		.merge(give)
		.merge(take_code)
}

async fn keep(
	State((executor, bodies)): State<(Executor, Bodies)>,
	body: Body,
) -> Result<Vec<u8>, ServerError> {
	let body = bodies.read(body, limits::PEER_BODY_BYTES_MAX).await?;
	let verified = executor
		.verify(Lane::Members, move |snapshot, _| {
			let brought = ReplicatedBody::decode_all(&mut &body[..]).map_err(|_| {
				MachineError::Malformed { expected: "the SCALE of a replicated body" }
			})?;
			snapshot.verify_body(brought)
		})
		.await?;
	let body = Box::new(verified);
	match executor.ask(|reply| Event::BodyBrought { reply, body }).await? {
		Answer::Acknowledged(acknowledgement) => Ok(acknowledgement.encode()),
		_ => Err(ServerError::other_answer()),
	}
}

/// What giving pages may take.
#[derive(Clone)]
struct Gives {
	/// For questions that the disk works on.
	reads: Arc<Semaphore>,
	/// For answers until they are taken, in KiB.
	held: Arc<Semaphore>,
	/// For those of one member.
	of_member: Arc<Mutex<BTreeMap<WorkerId, Arc<Semaphore>>>>,
}

impl Default for Gives {
	fn default() -> Self {
		Self {
			reads: Arc::new(Semaphore::new(limits::GIVES_MAX)),
			held: Arc::new(Semaphore::new(limits::GIVEN_BYTES_MAX / 1024)),
			of_member: Arc::default(),
		}
	}
}

impl Gives {
	/// One of a member's places. A copy of its question takes no more than it does.
	fn begin(&self, member: WorkerId) -> Option<OwnedSemaphorePermit> {
		let new = || Arc::new(Semaphore::new(limits::GIVES_TO_MEMBER_MAX));
		let places = lock(&self.of_member).entry(member).or_insert_with(new).clone();
		places.try_acquire_owned().ok()
	}

	/// What `read` gives, in its turn, after no longer than a member waits. The disk goes on reading for who
	/// hangs up: so does its place.
	async fn read<T: Send + 'static>(
		&self,
		read: impl Future<Output = anyhow::Result<T>> + Send + 'static,
	) -> anyhow::Result<Option<T>> {
		let wait = Duration::from_millis(limits::PEER_WAIT_MS_MAX);
		let Ok(place) = tokio::time::timeout(wait, self.reads.clone().acquire_owned()).await else {
			return Ok(None);
		};
		let place = place?;
		let reading = tokio::spawn(async move {
			let _place = place;
			read.await
		});
		reading.await?.map(Some)
	}

	/// An answer, which is counted until it was taken. Who takes longer than a member waits for all of it
	/// loses its connection.
	fn hold(
		&self,
		answer: Vec<u8>,
		of_member: OwnedSemaphorePermit,
		ending: Ending,
	) -> Option<Bytes> {
		let permits = u32::try_from(answer.len().div_ceil(1024)).ok()?;
		let held = self.held.clone().try_acquire_many_owned(permits).ok()?;
		let too_long = tokio::spawn(async move {
			tokio::time::sleep(Duration::from_millis(limits::CATCH_UP_WAIT_MS_MAX)).await;
			ending.end();
		});
		let too_long = too_long.abort_handle();
		Some(Bytes::from_owner(HeldAnswer { answer, too_long, _held: held, _of_member: of_member }))
	}
}

struct HeldAnswer {
	answer: Vec<u8>,
	too_long: AbortHandle,
	_held: OwnedSemaphorePermit,
	_of_member: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldAnswer {
	fn as_ref(&self) -> &[u8] {
		&self.answer
	}
}

impl Drop for HeldAnswer {
	fn drop(&mut self) {
		self.too_long.abort();
	}
}

async fn give(
	State((executor, bodies, gives)): State<(Executor, Bodies, Gives)>,
	Path(id): Path<String>,
	Extension(ending): Extension<Ending>,
	body: Body,
) -> Result<Bytes, ServerError> {
	let id = parse_hash(&id)?;
	// Nobody learns from this what else is on the disk.
	executor.snapshot().agent(id)?;
	let body = bodies.read(body, limits::PAGES_QUERY_BYTES_MAX).await?;
	let opened =
		executor.verify(Lane::Members, move |snapshot, _| snapshot.open_question(id, &body));
	let (asker, names) = opened.await?;
	let too_many = || {
		let message = "this worker gives pages to as many as it can; ask another member";
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::TooManyRequests, message)
	};
	let of_member = gives.begin(asker).ok_or_else(too_many)?;
	let disk = executor.clone();
	let pages = gives.read(async move { disk.pages().get(id, &names).await }).await;
	let pages = pages.map_err(|error| {
		tracing::warn!("the disk gives no pages: {error:#}");
		let message = "this worker's disk does not answer; ask another member";
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::NotReady, message)
	})?;
	let pages = pages.and_then(|pages| gives.hold(pages.encode(), of_member, ending));
	pages.ok_or_else(too_many)
}

async fn code(
	State(executor): State<Executor>,
	Path(hash): Path<String>,
) -> Result<Bytes, ServerError> {
	let hash = parse_hash(&hash)?;
	// What is not in memory is read and hashed.
	let blob =
		executor.compute(Lane::Callers, move |executor| executor.store().code(&hash)).await?;
	let blob = blob.ok_or_else(|| {
		ServerError::new(
			StatusCode::NOT_FOUND,
			Refusal::NoSuchCode,
			"this worker does not have this code",
		)
	})?;
	// Not copied: a slow reader holds no memory of its own.
	Ok(Bytes::from_owner(blob))
}

async fn take_code(
	State((executor, bodies)): State<(Executor, Bodies)>,
	Path(hash): Path<String>,
	body: Body,
) -> Result<StatusCode, ServerError> {
	let hash = parse_hash(&hash)?;
	// Known by its hash: neither is it read again, nor does the machine hear of it.
	let is_here = move |executor: &Executor| executor.store().code(&hash).is_some();
	if executor.compute(Lane::Callers, is_here).await? {
		return Ok(StatusCode::NO_CONTENT);
	}
	let snapshot = executor.snapshot();
	if !snapshot.cluster.as_ref().is_some_and(|cluster| cluster.wanted_code.contains(&hash)) {
		return Err(CodeError::NotWanted.into());
	}
	let body =
		bodies.read(body, limits::BLOB_BYTES_MAX).await.map_err(|refused| match refused {
			BodyError::TooLong(_) => CodeError::TooLong.into(),
			refused => ServerError::from(refused),
		})?;
	let is_new = executor
		.compute(Lane::Callers, move |executor| {
			let is_new = executor.store().code(&hash).is_none();
			executor.store().put_code(hash, body.into_bytes()).map(|()| is_new)
		})
		.await??;
	if is_new {
		executor.tell(Event::CodeStored { hash });
	}
	Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::future::pending;

	const WAIT: Duration = Duration::from_millis(limits::PEER_WAIT_MS_MAX);

	/// Ask what a disk takes long for, and hang up.
	#[tokio::test(start_paused = true)]
	async fn so_many_gluttons_at_once_and_the_next_is_told_to_ask_another() {
		let gives = Gives::default();
		let (end, ended) = tokio::sync::watch::channel(false);
		for _ in 0..limits::GIVES_MAX {
			let (gives, mut ended) = (gives.clone(), ended.clone());
			let reads = async move {
				ended.wait_for(|ended| *ended).await?;
				anyhow::Ok(())
			};
			let asking = gives.read(reads);
			assert!(tokio::time::timeout(Duration::from_millis(1), asking).await.is_err());
		}
		let begun = tokio::time::Instant::now();
		assert_eq!(
			gives.read(async { Ok(7) }).await.unwrap(),
			None,
			"the disk still reads for them"
		);
		assert_eq!(begun.elapsed(), WAIT);
		end.send_replace(true);
		assert_eq!(gives.read(async { Ok(7) }).await.unwrap(), Some(7));
		drop(gives.read(pending::<anyhow::Result<()>>()));
	}

	/// Takes its answers never.
	#[tokio::test(start_paused = true)]
	async fn who_takes_nothing_has_its_own_places_and_loses_its_connection() {
		let gives = Gives::default();
		let longest = || vec![0; limits::PAGES_BYTES_MAX];
		let mut held = Vec::new();
		let ending = Ending::default();
		for _ in 0..limits::GIVES_TO_MEMBER_MAX {
			let place = gives.begin(1).unwrap();
			held.push(gives.hold(longest(), place, ending.clone()).unwrap());
		}
		assert!(gives.begin(1).is_none());
		let other = gives.begin(2).unwrap();
		let answer = gives.hold(longest(), other, Ending::default()).unwrap();
		drop(answer);
		assert!(gives.begin(2).is_some(), "what was taken is not counted");
		let begun = tokio::time::Instant::now();
		ending.ended().await;
		assert_eq!(begun.elapsed(), Duration::from_millis(limits::CATCH_UP_WAIT_MS_MAX));
		// With its connection go its answers.
		drop(held);
		assert!(gives.begin(1).is_some());
	}

	#[tokio::test]
	async fn no_more_is_held_than_there_is_room_for() {
		let gives = Gives::default();
		let mut held = Vec::new();
		for member in 0.. {
			let place = gives.begin(member).unwrap();
			let answer = vec![0; limits::PAGES_BYTES_MAX];
			let Some(answer) = gives.hold(answer, place, Ending::default()) else { break };
			held.push(answer);
		}
		assert!(held.len() >= limits::GIVES_MAX);
		assert!(held.len() * limits::PAGES_BYTES_MAX <= limits::GIVEN_BYTES_MAX);
	}
}
