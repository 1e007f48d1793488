//! HTTP: the relay server for the relayer, the public server for everybody else. Both only parse,
//! ask the machine, and answer.

pub mod agents;
pub mod cluster;
pub mod public;
pub mod relay;
pub mod sealed;

use crate::{
	limits,
	machine::{
		cluster::{CallError, Membership},
		Machine, MachineError, Turn,
	},
	platform::Platform,
	worker::Worker,
};
use axum::{
	extract::State,
	http::StatusCode,
	response::{IntoResponse, Response},
	Json,
};
use phala_protocol::{boot::WorkerId, refusals::Refusal, BlockNumber, H256};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Instant,
};
use tokio::sync::Notify;

/// What the servers share: the one machine, its platform, its clock and its randomness.
#[derive(Clone)]
pub struct Shell(Arc<Inner>);

struct Inner {
	machine: Mutex<(Machine, ChaCha20Rng)>,
	/// What agents see of the machine: they do not wait while it verifies.
	view: Mutex<ChainView>,
	platform: Box<dyn Platform>,
	started: Instant,
	/// The machine took a step: there may be work.
	stepped: Notify,
}

/// What the machine knew of the chain after its last step.
#[derive(Clone)]
pub struct ChainView {
	/// The newest finalized block.
	pub finalized: Option<(BlockNumber, H256)>,
	/// Why the machine was not fresh at that time; what became stale since is not in it.
	standing: Result<(), MachineError>,
	/// When it was proven fresh, on the shell's clock.
	fresh_at_ms: u64,
}

impl ChainView {
	fn of(machine: &Machine, now_ms: u64) -> Self {
		Self {
			finalized: machine.finalized(),
			standing: machine.require_fresh(now_ms),
			fresh_at_ms: now_ms.saturating_sub(machine.view_age_ms(now_ms).unwrap_or_default()),
		}
	}

	/// Whether what needs a recent view may be done.
	///
	/// # Errors
	/// As [`Machine::require_fresh`].
	pub fn require_fresh(&self, now_ms: u64) -> Result<(), MachineError> {
		self.standing.clone()?;
		let (age_ms, max_ms) = (now_ms.saturating_sub(self.fresh_at_ms), limits::MARK_AGE_MAX_MS);
		if age_ms > max_ms {
			return Err(MachineError::NotFresh { age_ms, max_ms });
		}
		Ok(())
	}
}

impl Shell {
	/// A new boot.
	///
	/// # Errors
	/// When the system has no randomness.
	pub fn boot(
		config: crate::machine::Config,
		platform: Box<dyn Platform>,
	) -> Result<Self, getrandom::Error> {
		let mut seed = [0; 32];
		getrandom::fill(&mut seed)?;
		let mut rng = ChaCha20Rng::from_seed(seed);
		let machine = Machine::boot(config, 0, &mut rng);
		Ok(Self(Arc::new(Inner {
			view: Mutex::new(ChainView::of(&machine, 0)),
			machine: Mutex::new((machine, rng)),
			platform,
			started: Instant::now(),
			stepped: Notify::new(),
		})))
	}

	/// Milliseconds since the boot, from a clock that only goes forward.
	pub fn now_ms(&self) -> u64 {
		u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
	}

	/// The platform that vouches for this boot.
	pub fn platform(&self) -> &dyn Platform {
		&*self.0.platform
	}

	/// What the machine knew of the chain after its last step.
	pub fn view(&self) -> ChainView {
		self.0.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
	}

	/// Shows agents what the machine knows now.
	fn publish(&self, machine: &Machine) {
		let view = ChainView::of(machine, self.now_ms());
		*self.0.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
		self.0.stepped.notify_one();
	}

	/// Waits until the machine took a step, or something came that it may act on.
	pub async fn stepped(&self) {
		self.0.stepped.notified().await;
	}

	/// Something came that the machine may act on.
	pub fn nudge(&self) {
		self.0.stepped.notify_one();
	}

	/// A step of the machine as a member of its cluster.
	///
	/// # Errors
	/// As [`Machine::as_member`].
	pub fn as_member<T>(
		&self,
		step: impl FnOnce(&mut Membership, &mut Turn<'_, ChaCha20Rng>) -> T,
	) -> Result<T, CallError> {
		let now_ms = self.now_ms();
		let mut guard = self.machine();
		let (machine, rng) = &mut *guard;
		machine.as_member(now_ms, rng, step)
	}

	/// The machine. It checks before it changes anything, so a lock poisoned by a panic elsewhere
	/// still guards a consistent state.
	pub(crate) fn machine(&self) -> MutexGuard<'_, (Machine, ChaCha20Rng)> {
		self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// So many requests at once and no more: each may hold a body, and nobody has to say who it is.
async fn bounded(
	State(worker): State<Worker>,
	request: axum::extract::Request,
	next: axum::middleware::Next,
) -> Result<Response, ServerError> {
	let _place = worker.request_permits().try_acquire().map_err(|_| {
		let message = format!(
			"this worker works on {} requests at once, the most; try again in a moment",
			limits::SERVER_REQUESTS_MAX
		);
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::TooManyRequests, message)
	})?;
	Ok(next.run(request).await)
}

/// A refusal as both servers answer it.
pub struct ServerError {
	status: StatusCode,
	refusal: Refusal,
	message: String,
	/// Where to go instead: the worker that writes the agent.
	worker: Option<WorkerId>,
}

impl ServerError {
	fn new(status: StatusCode, refusal: Refusal, message: impl std::fmt::Display) -> Self {
		Self { status, refusal, message: message.to_string(), worker: None }
	}

	fn bad_request(refusal: Refusal, message: impl std::fmt::Display) -> Self {
		Self::new(StatusCode::BAD_REQUEST, refusal, message)
	}
}

impl From<MachineError> for ServerError {
	fn from(refused: MachineError) -> Self {
		let status = match refused {
			MachineError::Proof(_) => StatusCode::UNPROCESSABLE_ENTITY,
			_ => StatusCode::CONFLICT,
		};
		Self::new(status, refused.refusal(), refused)
	}
}

impl From<CallError> for ServerError {
	fn from(refused: CallError) -> Self {
		use CallError::*;
		let status = match &refused {
			NoCluster | NoSuchAgent => StatusCode::NOT_FOUND,
			NotReady { .. } | NotFresh(_) | TooManyCalls | NotCommitted => {
				StatusCode::SERVICE_UNAVAILABLE
			}
			Malformed { .. } | Input(_) | QueryTooOld { .. } => StatusCode::BAD_REQUEST,
			BadSignature { .. } => StatusCode::UNAUTHORIZED,
			CallerNotAllowed | NotOwner | NotFromLeaseHolder => StatusCode::FORBIDDEN,
			Repeated | NotLeaseHolder { .. } | OtherCode => StatusCode::CONFLICT,
			TooLate | MayStillCommit => StatusCode::GATEWAY_TIMEOUT,
			Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
		};
		let worker = match &refused {
			NotLeaseHolder { worker } => *worker,
			_ => None,
		};
		Self { worker, ..Self::new(status, refused.refusal(), refused) }
	}
}

impl IntoResponse for ServerError {
	fn into_response(self) -> Response {
		let mut body = serde_json::json!({ "error": self.refusal.name(), "message": self.message });
		if let Some(worker) = self.worker {
			body["worker"] = worker.into();
		}
		(self.status, Json(body)).into_response()
	}
}
