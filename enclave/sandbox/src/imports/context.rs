use crate::bindings::context::{Block, Host, RequestContext};
use crate::guest::Guest;

impl Host for Guest {
	fn get(&mut self) -> wasmtime::Result<RequestContext> {
		self.budget.host_call()?;
		let context = &self.context;
		Ok(RequestContext {
			agent: context.agent.to_vec(),
			caller: context.caller.map(|caller| caller.to_vec()),
			request_id: context.request_id.to_vec(),
			block: Block { number: context.block.number, hash: context.block.hash.to_vec() },
			code_hash: self.code_hash.to_vec(),
			idempotency_key: context.idempotency_key.clone(),
			attempt: context.attempt,
			call_depth: context.call_depth,
			writable: context.writable,
			config: self.manifest.config.clone().into_iter().collect(),
		})
	}
}
