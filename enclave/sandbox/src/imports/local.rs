//! What needs no host: the log, entropy, timers.

use super::{answer_later, GuestAccess};
use crate::bindings::log::Level;
use crate::bindings::types::HostError as WitError;
use crate::bindings::{entropy, log, timers};
use crate::guest::Guest;
use crate::host::LogLevel;
use phala_agent_manifest::limits::Limit;
use rand_chacha::rand_core::Rng;
use std::time::Duration;
use wasmtime::component::{FutureReader, HasSelf};

impl log::Host for Guest {
	fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
		self.budget.host_call()?;
		let level = match level {
			Level::Debug => LogLevel::Debug,
			Level::Info => LogLevel::Info,
			Level::Warn => LogLevel::Warn,
			Level::Error => LogLevel::Error,
		};
		Ok(self.log(level, message)?)
	}
}

impl entropy::Host for Guest {
	fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
		self.budget.host_call()?;
		self.budget.check(Limit::EntropyBytes, len.into())?;
		let mut bytes = vec![0; len as usize];
		self.rng.fill_bytes(&mut bytes);
		Ok(bytes)
	}
}

impl timers::Host for Guest {}

impl<T: 'static> timers::HostWithStore<T> for HasSelf<Guest> {
	fn sleep(
		access: GuestAccess<'_, T>,
		ms: u32,
	) -> wasmtime::Result<FutureReader<Result<(), WitError>>> {
		let sleep = tokio::time::sleep(Duration::from_millis(ms.into()));
		answer_later(access, async move {
			sleep.await;
			Ok(())
		})
	}
}
