use super::{answer_later, head_bytes, GuestAccess};
use crate::bindings::fetch::{self, RedirectMode, Request, Response};
use crate::bindings::types::HostError as WitError;
use crate::guest::Guest;
use crate::host::{self, FetchAllowance, FetchCall};
use crate::invocation::UnprovenInput;
use phala_agent_manifest::limits::Limit;
use std::sync::PoisonError;
use wasmtime::component::{FutureReader, HasSelf};

impl fetch::Host for Guest {}

impl<T: 'static> fetch::HostWithStore<T> for HasSelf<Guest> {
	fn send(
		mut access: GuestAccess<'_, T>,
		request: Request,
	) -> wasmtime::Result<FutureReader<Result<Response, WitError>>> {
		let guest = access.get();
		let (host, budget, unproven) =
			(guest.host.clone(), guest.budget.clone(), guest.unproven.clone());
		budget.add(Limit::OutboundCalls, 1, |usage| &mut usage.outbound_calls)?;
		let sent = head_bytes(&request.method, &request.url, &request.headers)
			+ request.body.as_ref().map_or(0, Vec::len) as u64;
		budget.add(Limit::FetchedBytes, sent, |usage| &mut usage.fetched_bytes)?;
		let call = FetchCall {
			method: request.method,
			url: request.url,
			headers: request.headers,
			body: request.body,
			redirect: match request.redirect {
				RedirectMode::Follow => host::RedirectMode::Follow,
				RedirectMode::Error => host::RedirectMode::Error,
				RedirectMode::Manual => host::RedirectMode::Manual,
			},
			// A fetch may take as long as the run that waits for it, and no longer.
			timeout_ms: u64::from(request.timeout_ms.unwrap_or(u32::MAX))
				.min(budget.wall_ms_left()),
		};
		answer_later(access, async move {
			let reply = host.fetch(call, FetchAllowance::of_run(budget)).await?;
			let authenticated = reply.plain_http.is_empty();
			unproven.lock().unwrap_or_else(PoisonError::into_inner).extend(
				reply
					.plain_http
					.into_iter()
					.map(|authority| UnprovenInput::PlainHttp { authority }),
			);
			Ok(Response {
				status: reply.status,
				url: reply.url,
				redirected: reply.redirected,
				headers: reply.headers,
				body: reply.body,
				authenticated,
			})
		})
	}
}
