use super::{answer_later, head_bytes, GuestAccess};
use crate::bindings::agents::{self, Request, Response};
use crate::bindings::types::HostError as WitError;
use crate::guest::Guest;
use crate::host::{AgentCall, HostError, RefusalKind};
use phala_agent_manifest::limits::Limit;
use std::sync::PoisonError;
use wasmtime::component::{FutureReader, HasSelf};

impl agents::Host for Guest {}

impl<T: 'static> agents::HostWithStore<T> for HasSelf<Guest> {
	fn call(
		mut access: GuestAccess<'_, T>,
		agent: Vec<u8>,
		request: Request,
	) -> wasmtime::Result<FutureReader<Result<Response, WitError>>> {
		let guest = access.get();
		let (host, budget, unproven) =
			(guest.host.clone(), guest.budget.clone(), guest.unproven.clone());
		// The depth is a limit of the whole chain of calls: passing it ends this run, and the host
		// hands it on to those that wait for it.
		let call_depth = guest.context.call_depth.saturating_add(1);
		budget.check(Limit::CallDepth, call_depth.into())?;
		budget.add(Limit::OutboundCalls, 1, |usage| &mut usage.outbound_calls)?;
		let sent = head_bytes(&request.method, &request.path, &request.headers)
			+ request.body.len() as u64;
		budget.add(Limit::FetchedBytes, sent, |usage| &mut usage.fetched_bytes)?;
		let agent = <[u8; 32]>::try_from(agent)
			.map_err(|_| HostError::new(RefusalKind::Invalid, "an agent id has 32 bytes"));
		let response_bytes_max = budget.fetched_bytes_left();
		answer_later(access, async move {
			let agent = agent?;
			let lent = budget.lend_calls();
			let reply = host
				.call_agent(AgentCall {
					agent,
					method: request.method,
					path_and_query: request.path,
					headers: request.headers,
					body: request.body,
					call_depth,
					outbound_calls_max: lent,
					wall_ms_max: budget.wall_ms_left(),
					response_bytes_max,
				})
				.await;
			budget.return_calls(lent.saturating_sub(reply.outbound_calls));
			let reply = reply.result?;
			budget
				.add(Limit::FetchedBytes, reply.body.len() as u64, |usage| &mut usage.fetched_bytes)
				.map_err(HostError::Limit)?;
			unproven.lock().unwrap_or_else(PoisonError::into_inner).extend(reply.unproven_inputs);
			Ok(Response { status: reply.status, headers: reply.headers, body: reply.body })
		})
	}
}
