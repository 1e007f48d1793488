use super::{answer_later, GuestAccess};
use crate::bindings::secrets;
use crate::bindings::types::HostError as WitError;
use crate::guest::Guest;
use crate::host::{HostError, RefusalKind};
use wasmtime::component::{FutureReader, HasSelf};

impl secrets::Host for Guest {}

impl<T: 'static> secrets::HostWithStore<T> for HasSelf<Guest> {
	fn get(
		mut access: GuestAccess<'_, T>,
		name: String,
	) -> wasmtime::Result<FutureReader<Result<Option<String>, WitError>>> {
		let guest = access.get();
		let host = guest.host.clone();
		// A name of any length that the manifest does not have is not kept.
		let declared = guest.manifest.secrets.get(&name).cloned();
		drop(name);
		answer_later(access, async move {
			let Some(name) = declared else {
				return Err(HostError::new(
					RefusalKind::NotDeclared,
					"the manifest does not name this secret; add it to `secrets` in agent.toml",
				));
			};
			Ok(host.secret(name).await?.map(|secret| secret.0))
		})
	}
}
