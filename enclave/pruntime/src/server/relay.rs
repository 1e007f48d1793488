//! The relay server: SCALE in, SCALE out. Whoever speaks here is trusted with nothing; it should
//! still listen where only the operator's relayer reaches it, since it does work for whoever asks.

use super::ServerError;
use crate::{
	executor::{Executor, Lane},
	limits,
};
use axum::{
	body::Bytes,
	extract::{DefaultBodyLimit, State},
	routing::{get, post},
	Router,
};
use codec::{DecodeAll, Encode};
use phala_light_client::{decode_genesis_bundle, decode_sync_bundle};
use phala_machine::{Answer, Event, MachineError};
use phala_protocol::{refusals::Refusal, relay::paths};

/// The server's routes.
pub fn router(executor: Executor) -> Router {
	Router::new()
		.route(paths::STATUS, get(status))
		.route(paths::GENESIS, post(genesis))
		.route(paths::SYNC, post(sync))
		.route(paths::REGISTRATION, post(registration))
		.route(paths::ENVELOPES, get(envelopes))
		.layer(DefaultBodyLimit::max(limits::RELAY_BODY_BYTES_MAX))
		.with_state(executor)
}

async fn status(State(executor): State<Executor>) -> Vec<u8> {
	executor.snapshot().status.encode()
}

async fn genesis(State(executor): State<Executor>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	let proven = executor
		.verify(Lane::Machine, move |snapshot, _| {
			snapshot.prove_genesis(decode_genesis_bundle(&body)?)
		})
		.await?;
	let genesis = Box::new(proven);
	status_of(executor.ask(|reply| Event::Genesis { reply, genesis }).await)
}

async fn sync(State(executor): State<Executor>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	let proven = executor
		.verify(Lane::Machine, move |snapshot, _| snapshot.prove(decode_sync_bundle(&body)?))
		.await
		.inspect_err(
			|refused| tracing::warn!(error = %refused.refusal(), "refused a bundle: {refused}"),
		)?;
	let bundle = Box::new(proven);
	status_of(executor.ask(|reply| Event::Synced { reply, bundle }).await)
}

fn status_of(answer: Result<Answer, MachineError>) -> Result<Vec<u8>, ServerError> {
	match answer? {
		Answer::Status(status) => Ok(status.encode()),
		_ => Err(ServerError::other_answer()),
	}
}

async fn registration(
	State(executor): State<Executor>,
	body: Bytes,
) -> Result<Vec<u8>, ServerError> {
	let operator = <[u8; 32]>::decode_all(&mut &body[..]).map_err(|_| {
		ServerError::bad_request(
			Refusal::Malformed,
			"the operator's account id, 32 bytes, is expected",
		)
	})?;
	match executor.ask(|reply| Event::RegistrationAsked { reply, operator }).await? {
		Answer::Registration(registration) => Ok(registration.encode()),
		_ => Err(ServerError::other_answer()),
	}
}

async fn envelopes(State(executor): State<Executor>) -> Vec<u8> {
	// As a `Vec<Envelope>`: what an `Arc` holds is encoded as it is.
	executor.snapshot().envelopes.encode()
}
