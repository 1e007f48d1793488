//! One run: its turn, what the sandbox asks of it, and its writes.

use super::{AgentHost, AgentId, AgentRunError, Call, CalleeAccess, HostedAgent};
use crate::{hosting::state::Snapshot, limits};
use async_trait::async_trait;
use phala_protocol::{requests::LogEntry, H256};
use phala_sandbox::{
	AgentCall, AgentReply, BlockRef, Context, FailedRun, FetchCall, FetchReply, Host, HostError,
	HttpRequest, Invocation, LogLevel, LogLine, Outcome, RefusalKind, RunError, SecretValue,
	StateEntry, StateScan,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The enclave as one run sees it.
struct RunHost {
	host: Arc<AgentHost>,
	agent: Arc<HostedAgent>,
	snapshot: Snapshot,
	block: BlockRef,
	writable: bool,
	/// Agents whose writer this run or one that waits for it is.
	writing: Vec<AgentId>,
	/// Whose log it is.
	request: [u8; 32],
	/// Instead of the agent's own.
	secrets: Option<BTreeMap<String, SecretValue>>,
}

/// A call of an agent of the chain.
pub(crate) struct OnChainCall {
	pub request: HttpRequest,
	/// An account.
	pub caller: Option<[u8; 32]>,
	pub block: BlockRef,
	pub writable: bool,
	pub snapshot: Snapshot,
	/// Unique, and the same over all attempts.
	pub request_id: [u8; 32],
	pub attempt: u32,
	/// In a paid request: its own draw.
	pub entropy: Option<[u8; 32]>,
	/// Of the state that it runs on, if that is not the committed one.
	pub secrets: Option<BTreeMap<String, SecretValue>>,
}

pub(super) async fn on_chain(
	host: &Arc<AgentHost>,
	agent: &Arc<HostedAgent>,
	call: OnChainCall,
) -> Result<Outcome, Box<FailedRun>> {
	let OnChainCall {
		request,
		caller,
		block,
		writable,
		snapshot,
		request_id,
		attempt,
		entropy,
		secrets,
	} = call;
	let refused =
		|error| Box::new(FailedRun { error, usage: Default::default(), logs: Vec::new() });
	let context = Context {
		agent: agent.id,
		caller,
		request_id,
		block,
		idempotency_key: hex::encode(request_id),
		attempt,
		call_depth: 0,
		writable,
		entropy_seed: entropy,
	};
	let invocation = Invocation::new(request, context, agent.manifest.clone()).map_err(|_| {
		refused(RunError::BadRequest("its agent asks for more than any agent may use"))
	})?;
	// What writes is one at a time for each agent, and does not wait behind what only reads.
	let reads = async {
		if writable {
			return None;
		}
		Some((agent.running.acquire().await, host.reads.acquire().await))
	};
	let wait = Duration::from_millis(limits::REQUEST_WAIT_MS_MAX);
	let Ok(_reads) = tokio::time::timeout(wait, reads).await else {
		return Err(refused(RunError::Busy));
	};
	let run_host = RunHost {
		host: host.clone(),
		agent: agent.clone(),
		snapshot,
		block,
		writable,
		writing: if writable { vec![agent.id] } else { Vec::new() },
		request: request_id,
		secrets,
	};
	host.sandbox.run(&agent.loaded, invocation, Arc::new(run_host)).await
}

pub(super) async fn from_outside(
	host: &Arc<AgentHost>,
	agent: &Arc<HostedAgent>,
	call: Call,
) -> Result<Outcome, AgentRunError> {
	let Call { request, caller, block, writable } = call;
	let wait_ms = limits::REQUEST_WAIT_MS_MAX;
	let turn = async {
		let writer = if writable { Some(agent.state.writer().await) } else { None };
		(writer, agent.running.acquire().await)
	};
	let (writer, _running) = tokio::time::timeout(Duration::from_millis(wait_ms), turn)
		.await
		.map_err(|_| AgentRunError::WaitTime { waited_ms: wait_ms })?;

	let context = context(agent, caller, block, writable).map_err(RunError::Host)?;
	let request_id = context.request_id;
	let invocation = Invocation::new(request, context, agent.manifest.clone())
		.map_err(|_| RunError::BadRequest("its agent asks for more than any agent may use"))?;
	let run_host = RunHost {
		host: host.clone(),
		agent: agent.clone(),
		// After the turn has come: a writer sees what all before it wrote.
		snapshot: agent.state.snapshot(),
		block,
		writable,
		writing: if writable { vec![agent.id] } else { Vec::new() },
		request: request_id,
		secrets: None,
	};
	let mut outcome = host
		.sandbox
		.run(&agent.loaded, invocation, Arc::new(run_host))
		.await
		.map_err(|failure| failure.error)?;
	if let Some(writer) = writer {
		agent.state.apply(&writer, std::mem::take(&mut outcome.writes))?;
	}
	Ok(outcome)
}

fn context(
	agent: &HostedAgent,
	caller: Option<[u8; 32]>,
	block: BlockRef,
	writable: bool,
) -> Result<Context, HostError> {
	let request_id = random()?;
	Ok(Context {
		agent: agent.id,
		caller,
		request_id,
		block,
		// A direct call is attempted once.
		idempotency_key: hex::encode(request_id),
		attempt: 1,
		call_depth: 0,
		writable,
		entropy_seed: None,
	})
}

fn random() -> Result<[u8; 32], HostError> {
	let mut bytes = [0; 32];
	getrandom::fill(&mut bytes)
		.map_err(|_| HostError::new(RefusalKind::Unavailable, "the system gives no randomness"))?;
	Ok(bytes)
}

/// Whether a request with this method may write state: those that HTTP calls safe may not.
pub(crate) fn writes(method: &str) -> bool {
	!matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

impl RunHost {
	/// Runs `call` on an agent of this worker. `Err` if it never ran.
	async fn run_callee(&self, call: AgentCall) -> Result<AgentReply, HostError> {
		let callee = self.host.get(&call.agent).ok_or_else(|| {
			HostError::new(RefusalKind::NotFound, "this worker has no agent of that id")
		})?;
		let callee = &callee;
		if let CalleeAccess::Listed(listed) = &callee.access {
			if !listed.contains(&self.agent.id) {
				return Err(HostError::new(
					RefusalKind::Denied,
					"the called agent answers only to those on its list",
				));
			}
		}
		let unavailable = |message| HostError::new(RefusalKind::Unavailable, message);
		// What a request that only reads causes only reads too.
		let writable = self.writable && writes(&call.method) && !callee.on_chain;
		if callee.on_chain && writes(&call.method) {
			return Err(unavailable(
				"agents on the chain are called by others to read only for now; call it with GET",
			));
		}
		let mut writing = self.writing.clone();
		let writer = if writable {
			if writing.contains(&callee.id) {
				return Err(unavailable(
					"the called agent is being written by a request that waits for this call; call it with GET",
				));
			}
			writing.push(callee.id);
			// Two agents that call each other would wait for ever; one of them gives up.
			let wait_ms = limits::CALLEE_WAIT_MS_MAX.min(call.wall_ms_max);
			let writer = callee.state.writer();
			let writer = tokio::time::timeout(Duration::from_millis(wait_ms), writer).await;
			Some(writer.map_err(|_| unavailable("the called agent is being written by others"))?)
		} else {
			None
		};
		// Its caller holds a place while it waits: to wait for one here could be for ever.
		let _running = callee
			.running
			.try_acquire()
			.map_err(|_| unavailable("the called agent runs as many requests as it may"))?;

		let context = context(callee, Some(self.agent.id), self.block, writable)?;
		let invocation =
			Invocation::of_call(call, context, callee.manifest.clone()).map_err(|_| {
				HostError::new(RefusalKind::Failed, "the called agent asks for too high a limit")
			})?;
		let run_host = RunHost {
			host: self.host.clone(),
			agent: callee.clone(),
			snapshot: callee.state.snapshot(),
			block: self.block,
			writable,
			writing,
			request: self.request,
			secrets: None,
		};
		let mut result =
			self.host.sandbox.run(&callee.loaded, invocation, Arc::new(run_host)).await;
		if let (Ok(outcome), Some(writer)) = (&mut result, &writer) {
			let writes = std::mem::take(&mut outcome.writes);
			if let Err(refused) = callee.state.apply(writer, writes) {
				let refusal = HostError::new(RefusalKind::Failed, refused.to_string());
				result = Err(Box::new(FailedRun {
					error: RunError::Host(refusal),
					usage: outcome.usage,
					logs: Vec::new(),
				}));
			}
		}
		Ok(AgentReply::of_run(result))
	}
}

#[async_trait]
impl Host for RunHost {
	async fn state_get(&self, key: String) -> Result<Option<Vec<u8>>, HostError> {
		Ok(self.snapshot.get(&key))
	}

	async fn state_scan(&self, scan: StateScan) -> Result<Vec<StateEntry>, HostError> {
		self.snapshot.scan(&scan)
	}

	async fn secret(&self, name: String) -> Result<Option<SecretValue>, HostError> {
		// The sandbox asks only for names that the manifest declares.
		Ok(self.secrets.as_ref().unwrap_or(&self.agent.secrets).get(&name).cloned())
	}

	async fn fetch(&self, call: FetchCall) -> Result<FetchReply, HostError> {
		self.host.egress.fetch(&self.agent.manifest.egress, call).await
	}

	async fn call_agent(&self, call: AgentCall) -> AgentReply {
		self.run_callee(call).await.unwrap_or_else(AgentReply::refused)
	}

	async fn entropy_seed(&self) -> Result<[u8; 32], HostError> {
		random()
	}

	fn log(&self, line: &LogLine) {
		if self.agent.on_chain {
			let level = match line.level {
				LogLevel::Debug => "debug",
				LogLevel::Info => "info",
				LogLevel::Warn => "warn",
				LogLevel::Error => "error",
			};
			let entry = LogEntry {
				block: u32::try_from(self.block.number).unwrap_or(u32::MAX),
				request: H256(self.request),
				level: level.into(),
				message: line.message.clone().into_bytes(),
			};
			self.host.keep_log(self.agent.id, entry);
		}
		if !self.host.shows_agent_logs {
			return;
		}
		let (agent, message) = (self.agent.name(), &line.message);
		match line.level {
			LogLevel::Debug => tracing::debug!("{agent}: {message:?}"),
			LogLevel::Info => tracing::info!("{agent}: {message:?}"),
			LogLevel::Warn => tracing::warn!("{agent}: {message:?}"),
			LogLevel::Error => tracing::error!("{agent}: {message:?}"),
		}
	}
}
