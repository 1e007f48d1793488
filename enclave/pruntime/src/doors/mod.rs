//! HTTP: the relay door for the relayer, the public door for everybody else. Both only parse,
//! ask the machine, and answer.

pub mod public;
pub mod relay;

use crate::{machine::Machine, platform::Platform};
use axum::{
	http::StatusCode,
	response::{IntoResponse, Response},
	Json,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Instant,
};

/// What the doors share: the one machine, its platform, its clock and its randomness.
#[derive(Clone)]
pub struct Shell(Arc<Inner>);

struct Inner {
	machine: Mutex<(Machine, ChaCha20Rng)>,
	platform: Box<dyn Platform>,
	started: Instant,
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
			machine: Mutex::new((machine, rng)),
			platform,
			started: Instant::now(),
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

	/// The machine. It checks before it changes anything, so a lock poisoned by a panic elsewhere
	/// still guards a consistent state.
	fn machine(&self) -> MutexGuard<'_, (Machine, ChaCha20Rng)> {
		self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// A refusal as both doors answer it.
pub struct DoorError {
	status: StatusCode,
	name: String,
	message: String,
}

impl DoorError {
	fn bad_request(name: &str, message: impl std::fmt::Display) -> Self {
		Self { status: StatusCode::BAD_REQUEST, name: name.into(), message: message.to_string() }
	}
}

impl From<crate::machine::Refused> for DoorError {
	fn from(refused: crate::machine::Refused) -> Self {
		let status = match refused {
			crate::machine::Refused::Proof(_) => StatusCode::UNPROCESSABLE_ENTITY,
			_ => StatusCode::CONFLICT,
		};
		Self { status, name: refused.name(), message: refused.to_string() }
	}
}

impl IntoResponse for DoorError {
	fn into_response(self) -> Response {
		let body = serde_json::json!({ "error": self.name, "message": self.message });
		(self.status, Json(body)).into_response()
	}
}
