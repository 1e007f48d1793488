//! The port to the sandbox: compiles components and runs them.

use super::units::units;
use async_trait::async_trait;
use phala_agent_manifest::ManifestError;
use phala_machine::worker::{AgentState, Program, Run, RunDone, RunEnd, RunFailed};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	refusals::Refusal,
	requests::{CallInput, CallOutput, LogEntry},
	H256,
};
use phala_sandbox::{
	egress::{EgressClient, EgressConfig},
	AgentCall, AgentReply, BlockRef, Context, FailedRunError, FetchAllowance, FetchCall,
	FetchReply, Host, HostError, HttpRequest, Invocation, Limit, LimitExceededError, LoadedAgent,
	LogLevel, LogLine, Manifest, Outcome, RunError, SandboxConfig, SandboxError, SecretValue,
	StateEntry, StateScan,
};
use std::{
	collections::{BTreeMap, BTreeSet, HashMap},
	ops::Bound,
	sync::{Arc, PoisonError, RwLock},
	time::{SystemTime, UNIX_EPOCH},
};

/// Where agents run.
#[async_trait]
pub trait Sandbox: Send + Sync {
	/// Makes a program. Takes up to seconds: where blocking is allowed.
	fn compile(
		&self,
		code: AgentCode,
		component: &[u8],
		manifest: &[u8],
	) -> Result<Program, ProgramError>;

	/// Forgets all other programs.
	fn keep(&self, programs: &BTreeSet<AgentCode>);

	/// Runs an agent. Nothing takes effect here. `call` is what another agent's run lends to it;
	/// `log_as` is the request whose log it is in, if not its own.
	async fn run(
		&self,
		run: Run,
		call: Option<AgentCall>,
		log_as: Option<H256>,
		outside: Arc<dyn Outside>,
	) -> Result<Outcome, Box<FailedRunError>>;
}

/// What a run needs that is not the sandbox's.
#[async_trait]
pub trait Outside: Send + Sync {
	/// Has another agent of this worker called.
	async fn call_agent(&self, caller: AgentId, call: AgentCall, log_as: H256) -> AgentReply;
	/// Keeps a line for the agent's owner.
	fn log(&self, agent: AgentId, entry: LogEntry);
	fn seed(&self) -> Result<[u8; 32], HostError>;
}

/// Why a component and its manifest are no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
	#[error(transparent)]
	Sandbox(#[from] SandboxError),
	#[error("outgoing connections cannot be set up: {0}")]
	Egress(#[from] rustls::Error),
	/// No network would take this manifest.
	#[error(transparent)]
	Manifest(#[from] ManifestError),
	#[error("the manifest is not the JSON of one: {0}")]
	ManifestJson(#[source] serde_json::Error),
}

/// What the sandbox is made with.
#[derive(Default)]
pub struct WasmConfig {
	/// How the sandbox is sized.
	pub sandbox: SandboxConfig,
	/// How agents reach the outside.
	pub egress: EgressConfig,
	/// Development only: what agents log is logged here. It can hold plaintext.
	pub shows_agent_logs: bool,
}

/// WebAssembly components in this process.
pub struct WasmSandbox {
	sandbox: phala_sandbox::Sandbox,
	egress: Arc<EgressClient>,
	shows_agent_logs: bool,
	programs: RwLock<HashMap<AgentCode, Compiled>>,
}

#[derive(Clone)]
struct Compiled {
	loaded: LoadedAgent,
	manifest: Arc<Manifest>,
}

impl WasmSandbox {
	/// Without programs.
	pub fn new(config: WasmConfig) -> Result<Self, ProgramError> {
		Ok(Self {
			sandbox: phala_sandbox::Sandbox::new(config.sandbox)?,
			egress: Arc::new(EgressClient::new(config.egress)?),
			shows_agent_logs: config.shows_agent_logs,
			programs: RwLock::default(),
		})
	}

	fn program(&self, code: &AgentCode) -> Option<Compiled> {
		self.programs.read().unwrap_or_else(PoisonError::into_inner).get(code).cloned()
	}
}

#[async_trait]
impl Sandbox for WasmSandbox {
	fn compile(
		&self,
		code: AgentCode,
		component: &[u8],
		manifest: &[u8],
	) -> Result<Program, ProgramError> {
		let known = self.program(&code);
		let compiled = match known {
			Some(compiled) => compiled,
			None => {
				let manifest: Manifest =
					serde_json::from_slice(manifest).map_err(ProgramError::ManifestJson)?;
				manifest.check()?;
				let loaded = self.sandbox.load(component)?;
				let compiled = Compiled { loaded, manifest: Arc::new(manifest) };
				let mut programs = self.programs.write().unwrap_or_else(PoisonError::into_inner);
				programs.insert(code, compiled.clone());
				compiled
			}
		};
		let limits = compiled.manifest.limits.resolve().map_err(ManifestError::Limit)?;
		let name = compiled.manifest.name.clone();
		Ok(Program { name, request_bytes_max: limits.request_bytes })
	}

	fn keep(&self, programs: &BTreeSet<AgentCode>) {
		let mut held = self.programs.write().unwrap_or_else(PoisonError::into_inner);
		held.retain(|code, _| programs.contains(code));
	}

	async fn run(
		&self,
		run: Run,
		call: Option<AgentCall>,
		log_as: Option<H256>,
		outside: Arc<dyn Outside>,
	) -> Result<Outcome, Box<FailedRunError>> {
		let refused =
			|error| Box::new(FailedRunError { error, usage: Default::default(), logs: Vec::new() });
		// Between an upgrade and its compilation there is no program for it.
		let Some(Compiled { loaded, manifest }) = self.program(&run.code) else {
			return Err(refused(RunError::Busy));
		};
		let (number, hash) = run.block;
		let context = Context {
			agent: run.agent.0,
			caller: run.caller.and_then(|caller| match caller {
				Caller::Account(account) => Some(account),
				Caller::Agent(agent) => Some(agent.0),
				Caller::Token(_) | Caller::Evm(_) => None,
			}),
			request_id: run.request.0,
			block: BlockRef { number: number.into(), hash: hash.0 },
			idempotency_key: hex::encode(run.request),
			attempt: run.attempt,
			call_depth: 0,
			writable: run.writable,
			entropy_seed: run.entropy,
		};
		let invocation = match call {
			Some(call) => Invocation::of_call(call, context, manifest.clone()),
			None => {
				let request = http_request(&run.input).ok_or_else(|| {
					refused(RunError::BadRequest("its method, path or a header's name is no text"))
				})?;
				Invocation::new(request, context, manifest.clone())
			}
		};
		let invocation = invocation.map_err(|_| {
			refused(RunError::BadRequest("its agent asks for more than any agent may use"))
		})?;
		let host = RunHost {
			agent: run.agent,
			block: number,
			request: log_as.unwrap_or(run.request),
			secrets: secrets_of(&run.state, &manifest),
			state: run.state,
			manifest,
			egress: self.egress.clone(),
			shows_agent_logs: self.shows_agent_logs,
			outside,
		};
		let host = Arc::new(host);
		let ended = self.sandbox.run(&loaded, invocation, host.clone()).await;
		if let Some(message) = ended.as_ref().err().and_then(|failed| ending(&failed.error)) {
			host.keep(LogLevel::Error, &message);
		}
		ended
	}
}

/// What the machine hears of a run.
pub fn result_of(ended: Result<Outcome, Box<FailedRunError>>) -> Result<RunDone, RunEnd> {
	match ended {
		Ok(Outcome { response, writes, usage, unproven_inputs, .. }) => Ok(RunDone {
			units: units(&usage),
			unproven_inputs: u32::try_from(unproven_inputs.len()).unwrap_or(u32::MAX),
			output: CallOutput {
				status: response.status,
				headers: response
					.headers
					.into_iter()
					.map(|(name, value)| (name.into_bytes(), value))
					.collect(),
				body: response.body,
			},
			writes,
		}),
		Err(failure) if matches!(failure.error, RunError::Busy) => Err(RunEnd::NotRun),
		Err(failure) => Err(RunEnd::Failed(RunFailed {
			refusal: refusal_of(&failure.error),
			message: failure.error.to_string(),
			units: units(&failure.usage),
		})),
	}
}

/// What the agent's log says of how a run ended, where the agent could not say it itself.
fn ending(error: &RunError) -> Option<String> {
	match error {
		RunError::LimitExceeded(_)
		| RunError::Trapped(_)
		| RunError::NoAnswer
		| RunError::BadResponse(_) => Some(format!("{}: {error}", refusal_of(error).name())),
		// It has said what it threw; of the others nothing ran.
		RunError::Uncaught | RunError::BadRequest(_) | RunError::Host(_) | RunError::Busy => None,
	}
}

/// As callers are told it; for a limit, that limit.
fn refusal_of(error: &RunError) -> Refusal {
	match error {
		RunError::LimitExceeded(exceeded) => refusal_of_limit(exceeded.limit),
		RunError::Uncaught => Refusal::Uncaught,
		RunError::Trapped(_) => Refusal::Trapped,
		RunError::NoAnswer => Refusal::NoAnswer,
		RunError::BadRequest(_) => Refusal::BadRequest,
		RunError::BadResponse(_) => Refusal::BadResponse,
		RunError::Host(_) => Refusal::Host,
		RunError::Busy => Refusal::Busy,
	}
}

fn refusal_of_limit(limit: Limit) -> Refusal {
	match limit {
		Limit::Memory => Refusal::Memory,
		Limit::Stack => Refusal::Stack,
		Limit::CpuTime => Refusal::CpuTime,
		Limit::WallTime => Refusal::WallTime,
		Limit::CallDepth => Refusal::CallDepth,
		Limit::OutboundCalls => Refusal::OutboundCalls,
		Limit::FetchedBytes => Refusal::FetchedBytes,
		Limit::RequestBytes => Refusal::RequestBytes,
		Limit::ResponseBytes => Refusal::ResponseBytes,
		Limit::LogLines => Refusal::LogLines,
		Limit::LogBytes => Refusal::LogBytes,
		Limit::StateKeyBytes => Refusal::StateKeyBytes,
		Limit::StateValueBytes => Refusal::StateValueBytes,
		Limit::StateWriteKeys => Refusal::StateWriteKeys,
		Limit::StateWriteBytes => Refusal::StateWriteBytes,
		Limit::StateReadBytes => Refusal::StateReadBytes,
		Limit::HostCalls => Refusal::HostCalls,
		Limit::PendingCalls => Refusal::PendingCalls,
		Limit::EntropyBytes => Refusal::EntropyBytes,
	}
}

/// A call as the sandbox takes it; `None` if its method, path or a header's name is no text.
fn http_request(input: &CallInput) -> Option<HttpRequest> {
	let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
	let headers = input
		.headers
		.iter()
		.map(|(name, value)| Some((text(name)?, value.clone())))
		.collect::<Option<_>>()?;
	Some(HttpRequest {
		method: text(&input.method)?,
		path_and_query: text(&input.path)?,
		headers,
		body: input.body.clone(),
	})
}

/// Only names that the manifest declares.
fn secrets_of(state: &AgentState, manifest: &Manifest) -> BTreeMap<String, SecretValue> {
	state
		.secrets
		.iter()
		.filter(|(name, _)| manifest.secrets.contains(*name))
		.filter_map(|(name, value)| {
			let value = String::from_utf8(value.expose().to_vec()).ok()?;
			Some((name.clone(), SecretValue(value)))
		})
		.collect()
}

/// The enclave as one run sees it.
struct RunHost {
	agent: AgentId,
	block: u32,
	/// Whose log it is.
	request: H256,
	state: AgentState,
	secrets: BTreeMap<String, SecretValue>,
	manifest: Arc<Manifest>,
	egress: Arc<EgressClient>,
	shows_agent_logs: bool,
	outside: Arc<dyn Outside>,
}

impl RunHost {
	/// A line of the agent's log.
	fn keep(&self, level: LogLevel, message: &str) {
		let name = match level {
			LogLevel::Debug => "debug",
			LogLevel::Info => "info",
			LogLevel::Warn => "warn",
			LogLevel::Error => "error",
		};
		let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		let entry = LogEntry {
			time_ms: since.as_millis().try_into().unwrap_or(u64::MAX),
			block: self.block,
			request: self.request,
			level: name.into(),
			message: message.into(),
		};
		self.outside.log(self.agent, entry);
		if !self.shows_agent_logs {
			return;
		}
		let agent = &self.manifest.name;
		// An event each, so that a stack can be read: nothing of it is mistaken for other events.
		for line in message.lines() {
			match level {
				LogLevel::Debug => tracing::debug!("{agent}: {line:?}"),
				LogLevel::Info => tracing::info!("{agent}: {line:?}"),
				LogLevel::Warn => tracing::warn!("{agent}: {line:?}"),
				LogLevel::Error => tracing::error!("{agent}: {line:?}"),
			}
		}
	}
}

fn scan(state: &AgentState, scan: &StateScan) -> Result<Vec<StateEntry>, HostError> {
	let after = scan.after.as_deref().filter(|after| *after >= scan.prefix.as_str());
	let start = after.map_or(Bound::Included(scan.prefix.as_str()), Bound::Excluded);
	let mut bytes = 0;
	state
		.entries
		.range::<str, _>((start, Bound::Unbounded))
		.take_while(|(key, _)| key.starts_with(&scan.prefix))
		.take(scan.entries_max as usize)
		.map(|(key, value)| {
			bytes += (key.len() + value.len()) as u64;
			if bytes > scan.bytes_max {
				return Err(HostError::Limit(LimitExceededError {
					limit: Limit::StateReadBytes,
					allowed: phala_agent_manifest::limits::STATE_READ_BYTES,
				}));
			}
			Ok(StateEntry { key: key.clone(), value: value.to_vec() })
		})
		.collect()
}

#[async_trait]
impl Host for RunHost {
	async fn state_get(&self, key: String) -> Result<Option<Vec<u8>>, HostError> {
		Ok(self.state.entries.get(&key).map(|value| value.to_vec()))
	}

	async fn state_scan(&self, asked: StateScan) -> Result<Vec<StateEntry>, HostError> {
		scan(&self.state, &asked)
	}

	async fn secret(&self, name: String) -> Result<Option<SecretValue>, HostError> {
		// The sandbox asks only for names that the manifest declares.
		Ok(self.secrets.get(&name).cloned())
	}

	async fn fetch(
		&self,
		call: FetchCall,
		allowance: FetchAllowance,
	) -> Result<FetchReply, HostError> {
		self.egress.fetch(&self.manifest.egress, call, &allowance).await
	}

	async fn call_agent(&self, call: AgentCall) -> AgentReply {
		self.outside.call_agent(self.agent, call, self.request).await
	}

	async fn entropy_seed(&self) -> Result<[u8; 32], HostError> {
		self.outside.seed()
	}

	fn log(&self, line: &LogLine) {
		self.keep(line.level, &line.message);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn asked(prefix: &str, after: Option<&str>, entries_max: u32, bytes_max: u64) -> StateScan {
		StateScan { prefix: prefix.into(), after: after.map(Into::into), entries_max, bytes_max }
	}

	#[test]
	fn what_ended_a_run_is_in_the_agents_log_where_it_could_not_say_so_itself() {
		let limit = LimitExceededError { limit: Limit::CpuTime, allowed: 5 };
		let said = ending(&RunError::LimitExceeded(limit)).unwrap();
		assert!(said.starts_with("CpuTime: ") && said.contains("at most 5"), "{said}");
		assert!(ending(&RunError::NoAnswer).unwrap().starts_with("NoAnswer: "));
		assert_eq!(ending(&RunError::Uncaught), None, "it has logged what it threw");
		assert_eq!(ending(&RunError::Busy), None, "nothing ran");
	}

	#[test]
	fn a_scan_stays_within_its_prefix_its_page_and_its_bytes() {
		let entries = ["a", "p/1", "p/2", "p/3", "q"].map(|key| (key.to_owned(), [7].into()));
		let state =
			AgentState { entries: Arc::new(entries.into_iter().collect()), ..Default::default() };
		let keys = |of| {
			let entries = scan(&state, &of).unwrap();
			entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
		};
		assert_eq!(keys(asked("p/", None, 2, 99)), ["p/1", "p/2"]);
		assert_eq!(keys(asked("p/", Some("p/2"), 2, 99)), ["p/3"]);
		assert_eq!(keys(asked("p/", Some("a"), 9, 99)), ["p/1", "p/2", "p/3"]);
		assert!(keys(asked("p/", Some("z"), 9, 99)).is_empty());
		assert!(scan(&state, &asked("p/", None, 9, 12)).is_ok());
		let over = scan(&state, &asked("p/", None, 9, 11));
		assert!(matches!(over, Err(HostError::Limit(_))));
	}
}
