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

/// The server's routes.
pub fn router(executor: Executor, members: Bodies, callers: Bodies) -> Router {
	let keep = Router::new()
		.route("/v1/cluster/bodies", post(keep))
		.with_state((executor.clone(), members.clone()));
	let give = Router::new()
		.route("/v1/cluster/agents/{id}/pages", post(give))
		.layer(from_fn_with_state(places(), bounded))
		.with_state((executor.clone(), members));
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

async fn give(
	State((executor, bodies)): State<(Executor, Bodies)>,
	Path(id): Path<String>,
	body: Body,
) -> Result<Vec<u8>, ServerError> {
	let id = parse_hash(&id)?;
	// Nobody learns from this what else is on the disk.
	executor.snapshot().agent(id)?;
	let body = bodies.read(body, limits::PAGES_QUERY_BYTES_MAX).await?;
	let names = Vec::<H256>::decode_all(&mut &body[..])
		.ok()
		.filter(|names| names.len() <= PAGES_ASKED_MAX)
		.ok_or(MachineError::Malformed { expected: "the SCALE of at most 64 names of pages" })?;
	let pages = executor.pages().get(id, &names).await.map_err(|error| {
		tracing::warn!("the disk gives no pages: {error:#}");
		let message = "this worker's disk does not answer; ask another member";
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::NotReady, message)
	})?;
	Ok(pages.encode())
}

async fn code(
	State(executor): State<Executor>,
	Path(hash): Path<String>,
) -> Result<Bytes, ServerError> {
	let hash = parse_hash(&hash)?;
	let blob = executor.store().code(&hash).ok_or_else(|| {
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
	if executor.store().code(&hash).is_some() {
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
