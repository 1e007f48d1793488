//! Between members, and code for all: on the public server.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/cluster/bodies` | a lease holder has this member keep what a run wrote, encrypted |
//! | `POST /v1/cluster/agents/{id}/pages` | encrypted pages of an agent's state, by their names |
//! | `GET`, `PUT /v1/code/{hash}` | a component or manifest that the chain names |

use super::{
	bodies::{Bodies, BodyError},
	bounded, parse_hash, places, ServerError,
};
use crate::{
	executor::{Executor, Lane},
	limits,
	store::CodeError,
};
use axum::{
	body::{Body, Bytes},
	extract::{Path, State},
	http::StatusCode,
	middleware::from_fn_with_state,
	routing::{get, post, put},
	Router,
};
use codec::{DecodeAll, Encode};
use phala_machine::{limits::PAGES_ASKED_MAX, Answer, Event, MachineError, ReplicatedBody};
use phala_protocol::{refusals::Refusal, H256};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const NAMES_EXPECTED: &str = "the SCALE of at most 64 names of pages, each above the one before it";

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

/// What gives pages may take: anybody can ask, and names are no secret.
#[derive(Clone)]
struct Gives {
	/// For questions that the disk works on.
	reads: Arc<Semaphore>,
	/// For answers until they are taken, in KiB.
	held: Arc<Semaphore>,
}

impl Default for Gives {
	fn default() -> Self {
		Self {
			reads: Arc::new(Semaphore::new(limits::GIVES_MAX)),
			held: Arc::new(Semaphore::new(limits::GIVEN_BYTES_MAX / 1024)),
		}
	}
}

impl Gives {
	/// What `read` gives, in its turn. For no longer than a member waits.
	async fn read<T>(
		&self,
		read: impl Future<Output = anyhow::Result<T>>,
	) -> anyhow::Result<Option<T>> {
		let wait = Duration::from_millis(limits::PEER_WAIT_MS_MAX);
		match tokio::time::timeout(wait, self.reads.acquire()).await {
			Ok(place) => {
				let _place = place?;
				read.await.map(Some)
			}
			Err(_) => Ok(None),
		}
	}

	/// An answer, which is counted until it was taken.
	fn hold(&self, answer: Vec<u8>) -> Option<Bytes> {
		let permits = u32::try_from(answer.len().div_ceil(1024)).ok()?;
		let place = self.held.clone().try_acquire_many_owned(permits).ok()?;
		Some(Bytes::from_owner(HeldAnswer { answer, _place: place }))
	}
}

struct HeldAnswer {
	answer: Vec<u8>,
	_place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldAnswer {
	fn as_ref(&self) -> &[u8] {
		&self.answer
	}
}

async fn give(
	State((executor, bodies, gives)): State<(Executor, Bodies, Gives)>,
	Path(id): Path<String>,
	body: Body,
) -> Result<Bytes, ServerError> {
	let id = parse_hash(&id)?;
	// Nobody learns from this what else is on the disk.
	executor.snapshot().agent(id)?;
	let body = bodies.read(body, limits::PAGES_QUERY_BYTES_MAX).await?;
	let names = names_of(&body)?;
	let pages = gives.read(executor.pages().get(id, &names)).await.map_err(|error| {
		tracing::warn!("the disk gives no pages: {error:#}");
		let message = "this worker's disk does not answer; ask another member";
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::NotReady, message)
	})?;
	pages.and_then(|pages| gives.hold(pages.encode())).ok_or_else(|| {
		let message = "this worker gives pages to as many as it can; ask another member";
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::TooManyRequests, message)
	})
}

/// None twice: a short question has no long answer.
fn names_of(body: &[u8]) -> Result<Vec<H256>, MachineError> {
	let is_right = |names: &Vec<_>| {
		names.len() <= PAGES_ASKED_MAX && names.is_sorted_by(|one, next| one < next)
	};
	let names = Vec::decode_all(&mut &body[..]).ok().filter(is_right);
	names.ok_or(MachineError::Malformed { expected: NAMES_EXPECTED })
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
	use std::{future::pending, mem::drop};

	const WAIT: Duration = Duration::from_millis(limits::PEER_WAIT_MS_MAX);

	#[test]
	fn a_stutterer_gets_no_page_for_a_name_twice() {
		let name = H256::repeat_byte;
		let ask = |names: &[H256]| names_of(&names.encode());
		assert_eq!(ask(&[name(1), name(2)]), Ok(vec![name(1), name(2)]));
		for refused in [&[name(1), name(1)][..], &[name(2), name(1)]] {
			assert!(ask(refused).is_err());
		}
		let numbered = |count: usize| (0..count).map(|n| name(n as u8)).collect::<Vec<_>>();
		assert!(ask(&numbered(PAGES_ASKED_MAX)).is_ok());
		assert!(ask(&numbered(PAGES_ASKED_MAX + 1)).is_err());
		assert!(names_of(b"no names").is_err());
	}

	/// Ask what a disk takes long for.
	#[tokio::test(start_paused = true)]
	async fn so_many_gluttons_at_once_and_the_next_is_told_to_ask_another() {
		let gives = Gives::default();
		let mut gluttons = tokio::task::JoinSet::new();
		for _ in 0..limits::GIVES_MAX {
			let gives = gives.clone();
			gluttons.spawn(async move { gives.read(pending::<anyhow::Result<()>>()).await });
		}
		tokio::task::yield_now().await;
		let begun = tokio::time::Instant::now();
		assert_eq!(gives.read(async { Ok(7) }).await.unwrap(), None);
		assert_eq!(begun.elapsed(), WAIT);
		gluttons.shutdown().await;
		assert_eq!(gives.read(async { Ok(7) }).await.unwrap(), Some(7));
	}

	/// Takes its answer never.
	#[tokio::test]
	async fn what_is_not_taken_is_counted_until_it_is() {
		let gives = Gives::default();
		let longest = || vec![0; limits::PAGES_BYTES_MAX];
		let mut held = Vec::new();
		while let Some(answer) = gives.hold(longest()) {
			held.push(answer);
			assert!(held.len() * limits::PAGES_BYTES_MAX <= limits::GIVEN_BYTES_MAX);
		}
		assert!(held.len() >= limits::GIVES_MAX);
		drop(held.pop());
		assert!(gives.hold(longest()).is_some());
	}
}
