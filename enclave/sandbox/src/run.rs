//! One request, one instance.

use crate::budget::Budget;
use crate::cpu::CpuMeter;
use crate::engine::{LoadedAgent, Sandbox};
use crate::error::{FailedRunError, RunError};
use crate::guest::Guest;
use crate::host::Host;
use crate::invocation::{HttpRequest, HttpResponse, Invocation, Outcome};
use crate::limits::{HEADER_BYTES_MAX, HOSTCALL_FUEL};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use phala_agent_manifest::limits::{Limit, LimitExceededError, STACK_BYTES};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::Accessor;
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi_http::p3::bindings::http::types::{ErrorCode, Request};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::FieldMap;

/// What an agent sees as the host of a request that named none.
const AUTHORITY_DEFAULT: &str = "agent";
/// Epochs until a guest that has just started is looked at.
const FIRST_DEADLINE_TICKS: u64 = 1;

impl Sandbox {
	/// Answers one request with a fresh instance of `agent`.
	///
	/// Needs a tokio runtime with its timer. A request from outside waits while all instances are in
	/// use; that wait is not part of its wall time.
	pub async fn run(
		&self,
		agent: &LoadedAgent,
		invocation: Invocation,
		host: Arc<dyn Host>,
	) -> Result<Outcome, Box<FailedRunError>> {
		let Invocation { request, context, manifest, limits } = invocation;
		let budget = Budget::new(limits);
		let refused =
			|error| failure(error, &budget, Vec::new(), &CpuMeter::default(), Instant::now());

		let request_bytes =
			size(&request.headers, &request.body) + request.path_and_query.len() as u64;
		budget
			.add(Limit::RequestBytes, request_bytes, |usage| &mut usage.request_bytes)
			.map_err(|exceeded| refused(exceeded.into()))?;
		budget
			.check(Limit::CallDepth, context.call_depth.into())
			.map_err(|exceeded| refused(exceeded.into()))?;
		let request = incoming(request).map_err(refused)?;

		let permit = if context.call_depth == 0 {
			self.instances().clone().acquire_owned().await.ok()
		} else {
			// Its caller holds an instance while it waits: to wait for one here could be for ever.
			self.instances().clone().try_acquire_owned().ok()
		};
		let _permit = permit.ok_or_else(|| refused(RunError::Busy))?;
		let seed = match context.entropy_seed {
			Some(seed) => seed,
			None => {
				host.entropy_seed().await.map_err(|refusal| refused(RunError::Host(refusal)))?
			}
		};

		// A task of its own: wasmtime cannot poll one store from within another's, which is where the
		// caller stands if it is a host that serves a call between agents. And a bug that panics in
		// one run is that run's alone.
		let guest = Guest::new(host, budget.clone(), manifest, context, agent.code_hash(), seed);
		let run = run_to_end(self.engine().clone(), agent.clone(), guest, request, budget.clone());
		let mut task = EndWithCaller(tokio::spawn(run));
		match (&mut task.0).await {
			Ok(result) => result,
			Err(_panicked) => Err(refused(RunError::Trapped("the sandbox failed".to_owned()))),
		}
	}
}

/// A run that nobody waits for ends.
struct EndWithCaller<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for EndWithCaller<T> {
	fn drop(&mut self) {
		self.0.abort();
	}
}

async fn run_to_end(
	engine: Engine,
	agent: LoadedAgent,
	guest: Guest,
	request: Request,
	budget: Arc<Budget>,
) -> Result<Outcome, Box<FailedRunError>> {
	let started = Instant::now();
	let cpu = CpuMeter::default();
	let mut store = Store::new(&engine, guest);
	store.limiter(|guest| guest);
	store.set_hostcall_fuel(HOSTCALL_FUEL);
	watch_cpu(&mut store, &cpu, &budget);

	let wall_ms = budget.limits().wall_ms;
	let answer = cpu.measure(answer(&mut store, &agent, request, &budget));
	let result = match tokio::time::timeout(Duration::from_millis(wall_ms), answer).await {
		Ok(result) => result,
		Err(_elapsed) => {
			let exceeded = LimitExceededError { limit: Limit::WallTime, allowed: wall_ms };
			Err(budget.breached(exceeded).into())
		}
	};
	// The first limit that was passed is why the run ended, whatever became of it afterwards: an
	// answer made in spite of it is none.
	let result = budget.breach().map_or(result, |exceeded| Err(exceeded.into()));
	let guest = store.data_mut();
	let logs = guest.take_logs();
	match result {
		Ok(response) => Ok(Outcome {
			response,
			writes: std::mem::take(&mut guest.overlay).into_iter().collect(),
			logs,
			usage: usage(&budget, &cpu, started),
			unproven_inputs: guest.take_unproven(),
		}),
		Err(error) => Err(failure(error, &budget, logs, &cpu, started)),
	}
}

fn usage(budget: &Budget, cpu: &CpuMeter, started: Instant) -> crate::Usage {
	let micros = |time: Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
	crate::Usage {
		cpu_us: micros(cpu.spent()),
		wall_us: micros(started.elapsed()),
		..budget.usage()
	}
}

fn failure(
	error: RunError,
	budget: &Budget,
	logs: Vec<crate::LogLine>,
	cpu: &CpuMeter,
	started: Instant,
) -> Box<FailedRunError> {
	Box::new(FailedRunError { error, usage: usage(budget, cpu, started), logs })
}

fn size(headers: &[(String, Vec<u8>)], body: &[u8]) -> u64 {
	(headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len())
		as u64
}

/// At every epoch a running guest is held against its CPU time, and lets others run.
fn watch_cpu(store: &mut Store<Guest>, cpu: &CpuMeter, budget: &Arc<Budget>) {
	let (cpu, budget) = (cpu.clone(), budget.clone());
	store.set_epoch_deadline(FIRST_DEADLINE_TICKS);
	store.epoch_deadline_callback(move |_| {
		let spent_ms = cpu.spent_now().as_millis().try_into().unwrap_or(u64::MAX);
		budget.check(Limit::CpuTime, spent_ms)?;
		Ok(UpdateDeadline::Yield(1))
	});
}

/// Instantiates, calls the handler, and reads the whole answer while the guest still produces it.
async fn answer(
	store: &mut Store<Guest>,
	agent: &LoadedAgent,
	request: Request,
	budget: &Arc<Budget>,
) -> Result<HttpResponse, RunError> {
	let service = agent.pre().instantiate_async(&mut *store).await.map_err(trapped)?;
	let answered = store
		.run_concurrent(async |accessor| call(accessor, &service, request, budget).await)
		.await
		.map_err(trapped)?;
	answered.map_err(trapped)?
}

async fn call(
	accessor: &Accessor<Guest>,
	service: &Service,
	request: Request,
	budget: &Arc<Budget>,
) -> wasmtime::Result<Result<HttpResponse, RunError>> {
	let response = match service.handle(accessor, request).await? {
		Ok(response) => response,
		// The prelude's word for an error that the agent did not catch; other guests' likewise.
		Err(ErrorCode::InternalError(_)) => return Ok(Err(RunError::Uncaught)),
		Err(_) => return Ok(Err(RunError::BadResponse("the handler returned an HTTP error code"))),
	};
	let response = accessor.with(|access| response.into_http(access, async { Ok(()) }))?;
	let (parts, mut body) = response.into_parts();
	let header_bytes: usize =
		parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
	if header_bytes > HEADER_BYTES_MAX {
		return Ok(Err(RunError::BadResponse("its headers are too large")));
	}
	budget.add(Limit::ResponseBytes, header_bytes as u64, |usage| &mut usage.response_bytes)?;
	let mut bytes = Vec::new();
	while let Some(frame) = body.frame().await {
		let Ok(frame) = frame else {
			return Ok(Err(RunError::BadResponse(
				"its body ended before its announced length, or after it",
			)));
		};
		if let Ok(data) = frame.into_data() {
			budget
				.add(Limit::ResponseBytes, data.len() as u64, |usage| &mut usage.response_bytes)?;
			bytes.extend_from_slice(&data);
		}
	}
	let headers = parts
		.headers
		.iter()
		.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
		.collect();
	Ok(Ok(HttpResponse { status: parts.status.as_u16(), headers, body: bytes }))
}

/// The trap's name only: a wasmtime error may quote what the guest said.
fn trapped(error: wasmtime::Error) -> RunError {
	if let Some(exceeded) = error.downcast_ref::<LimitExceededError>() {
		return (*exceeded).into();
	}
	match error.downcast_ref::<Trap>() {
		Some(Trap::StackOverflow) => {
			LimitExceededError { limit: Limit::Stack, allowed: STACK_BYTES }.into()
		}
		Some(Trap::UnreachableCodeReached) => {
			RunError::Trapped("unreachable code (the guest gave up: see its log)".to_owned())
		}
		Some(Trap::AsyncDeadlock | Trap::NoAsyncResult) => RunError::NoAnswer,
		Some(trap) => RunError::Trapped(trap.to_string()),
		None => {
			tracing::debug!("a run ended with a host error that is no trap");
			RunError::Trapped("the guest broke a rule of its interface".to_owned())
		}
	}
}

/// The request as the guest gets it.
fn incoming(request: HttpRequest) -> Result<Request, RunError> {
	let method = Method::from_bytes(request.method.as_bytes())
		.map_err(|_| RunError::BadRequest("its method is not one of HTTP"))?;
	if !request.path_and_query.starts_with('/') {
		return Err(RunError::BadRequest("its path does not start with /"));
	}
	let path = PathAndQuery::try_from(request.path_and_query)
		.map_err(|_| RunError::BadRequest("its path is not one of a URL"))?;
	let mut headers = HeaderMap::with_capacity(request.headers.len());
	let mut header_bytes = 0;
	for (name, value) in &request.headers {
		header_bytes += name.len() + value.len();
		let name = HeaderName::from_bytes(name.as_bytes())
			.map_err(|_| RunError::BadRequest("a header's name is not one of HTTP"))?;
		let value = HeaderValue::from_bytes(value)
			.map_err(|_| RunError::BadRequest("a header's value has a control character"))?;
		headers
			.try_append(name, value)
			.map_err(|_| RunError::BadRequest("it has too many headers"))?;
	}
	if header_bytes > HEADER_BYTES_MAX {
		return Err(RunError::BadRequest("its headers are too large"));
	}
	let authority = headers
		.remove(http::header::HOST)
		.and_then(|host| Authority::try_from(host.as_bytes()).ok())
		.unwrap_or_else(|| Authority::from_static(AUTHORITY_DEFAULT));
	let body = Full::new(Bytes::from(request.body));
	let (request, _sent) = Request::new(
		method,
		Some(Scheme::HTTPS),
		Some(authority),
		Some(path),
		FieldMap::new_immutable(&mut crate::guest::NoWayOut, headers),
		None,
		body,
	);
	Ok(request)
}
