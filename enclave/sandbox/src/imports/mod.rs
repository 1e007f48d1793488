//! The `phala:agent` interfaces: each checks and counts, then asks the [`crate::Host`].

mod agents;
mod context;
mod fetch;
mod local;
mod secrets;
mod state;

use crate::bindings::types::{ErrorCode, HostError as WitError};
use crate::bindings::Imports;
use crate::guest::Guest;
use crate::host::{HostError, RefusalKind};
use phala_agent_manifest::limits::LimitExceededError;
use std::future::Future;
use wasmtime::component::{Access, FutureReader, HasSelf, Linker};

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
	Imports::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl crate::bindings::types::Host for Guest {}

/// A store's view that can also make futures.
type GuestAccess<'a, T> = Access<'a, T, HasSelf<Guest>>;

/// What a request to the outside has besides its body, in bytes: as it is sent.
fn head_bytes(method: &str, url: &str, headers: &[(String, String)]) -> u64 {
	let headers = headers.iter().map(|(name, value)| name.len() + value.len());
	(method.len() + url.len() + headers.sum::<usize>()) as u64
}

/// A future for the guest that resolves as `work` does.
///
/// A refusal is the guest's to handle. A passed limit is an error of the whole run.
fn answer_later<T, V>(
	mut access: GuestAccess<'_, T>,
	work: impl Future<Output = Result<V, HostError>> + Send + 'static,
) -> wasmtime::Result<FutureReader<Result<V, WitError>>>
where
	T: 'static,
	V: wasmtime::component::Lower + wasmtime::component::Lift + Send + Sync + 'static,
{
	let budget = access.get().budget.clone();
	let pending = budget.pending_call()?;
	FutureReader::new(&mut access, async move {
		let _pending = pending;
		match work.await {
			Ok(value) => wasmtime::error::Ok(Ok(value)),
			// The host may have been given what was left of the limit; the error says the whole of it.
			Err(HostError::Limit(LimitExceededError { limit, .. })) => {
				let allowed = budget.limits().allowed(limit);
				Err(budget.breached(LimitExceededError { limit, allowed }).into())
			}
			Err(HostError::Refused { refusal, message }) => {
				Ok(Err(WitError { code: refusal.into(), message }))
			}
		}
	})
}

impl From<RefusalKind> for ErrorCode {
	fn from(refusal: RefusalKind) -> Self {
		match refusal {
			RefusalKind::ReadOnly => Self::ReadOnly,
			RefusalKind::NotDeclared => Self::NotDeclared,
			RefusalKind::AddressRefused => Self::AddressRefused,
			RefusalKind::Invalid => Self::Invalid,
			RefusalKind::NotFound => Self::NotFound,
			RefusalKind::Denied => Self::Denied,
			RefusalKind::Failed => Self::Failed,
			RefusalKind::Timeout => Self::Timeout,
			RefusalKind::Network => Self::Network,
			RefusalKind::Unavailable => Self::Unavailable,
		}
	}
}
