//! What a store holds: one run's view of the world.

use crate::budget::Budget;
use crate::host::{Host, LogLevel, LogLine};
use crate::invocation::{Context, UnprovenInput};
use crate::limits::{HEADER_BYTES_MAX, RESOURCES_MAX};
use crate::stdio::GuestStdio;
use phala_agent_manifest::limits::{Limit, LimitExceededError};
use phala_agent_manifest::Manifest;
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Streams of the run's generator: the same seed, different bytes.
const STREAM_AGENT: u64 = 0;
const STREAM_WASI: u64 = 1;
const STREAM_WASI_INSECURE: u64 = 2;

pub(crate) struct Guest {
	wasi: WasiCtx,
	http: WasiHttpCtx,
	hooks: NoWayOut,
	table: ResourceTable,
	stdio: GuestStdio,

	pub(crate) host: Arc<dyn Host>,
	pub(crate) budget: Arc<Budget>,
	pub(crate) manifest: Arc<Manifest>,
	pub(crate) context: Context,
	pub(crate) code_hash: [u8; 32],
	pub(crate) rng: ChaCha20Rng,
	/// What the request has set (or deleted), over the snapshot.
	pub(crate) overlay: BTreeMap<String, Option<Vec<u8>>>,
	pub(crate) unproven: Arc<Mutex<Vec<UnprovenInput>>>,
	logs: Vec<LogLine>,
	started: Instant,
}

impl Guest {
	pub(crate) fn new(
		host: Arc<dyn Host>,
		budget: Arc<Budget>,
		manifest: Arc<Manifest>,
		context: Context,
		code_hash: [u8; 32],
		seed: [u8; 32],
	) -> Self {
		let rng = |stream| {
			let mut rng = ChaCha20Rng::from_seed(seed);
			rng.set_stream(stream);
			rng
		};
		let (halves, _) = seed.as_chunks::<16>();
		let insecure_seed =
			halves.iter().fold(0, |folded, half| folded ^ u128::from_le_bytes(*half));
		let stdio = GuestStdio::default();
		let wasi = WasiCtxBuilder::new()
			.stdout(stdio.clone())
			.stderr(stdio.clone())
			.secure_random(rng(STREAM_WASI))
			.insecure_random(rng(STREAM_WASI_INSECURE))
			.insecure_random_seed(insecure_seed)
			.build();
		let mut http = WasiHttpCtx::new();
		http.set_field_size_limit(HEADER_BYTES_MAX);
		let mut table = ResourceTable::new();
		table.set_max_capacity(RESOURCES_MAX);
		Self {
			wasi,
			http,
			hooks: NoWayOut,
			table,
			stdio,
			host,
			budget,
			manifest,
			context,
			code_hash,
			rng: rng(STREAM_AGENT),
			overlay: BTreeMap::new(),
			unproven: Arc::default(),
			logs: Vec::new(),
			started: Instant::now(),
		}
	}

	pub(crate) fn log(
		&mut self,
		level: LogLevel,
		message: String,
	) -> Result<(), LimitExceededError> {
		self.budget.add(Limit::LogLines, 1, |usage| &mut usage.log_lines)?;
		self.budget.add(Limit::LogBytes, message.len() as u64, |usage| &mut usage.log_bytes)?;
		let at_us = self.started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
		let line = LogLine { level, at_us, message };
		self.host.log(&line);
		self.logs.push(line);
		Ok(())
	}

	/// The log, with what the guest left on its standard streams (QuickJS's last words) at its end.
	pub(crate) fn take_logs(&mut self) -> Vec<LogLine> {
		let stdio = self.stdio.take();
		if !stdio.is_empty() {
			let message = String::from_utf8_lossy(&stdio).trim_end().to_owned();
			// A full log stays as it is.
			let _ = self.log(LogLevel::Error, message);
		}
		std::mem::take(&mut self.logs)
	}

	pub(crate) fn take_unproven(&mut self) -> Vec<UnprovenInput> {
		let mut inputs =
			std::mem::take(&mut *self.unproven.lock().unwrap_or_else(PoisonError::into_inner));
		inputs.dedup();
		inputs
	}
}

impl WasiView for Guest {
	fn ctx(&mut self) -> WasiCtxView<'_> {
		WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
	}
}

impl WasiHttpView for Guest {
	fn http(&mut self) -> WasiHttpCtxView<'_> {
		WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
	}
}

/// `wasi:http`'s own client is not linked; should it ever be, it refuses.
pub(crate) struct NoWayOut;

type IoResult = Box<dyn std::future::Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>;

impl WasiHttpHooks for NoWayOut {
	fn send_request(
		&mut self,
		_request: http::Request<WasiBody>,
		_options: Option<wasmtime_wasi_http::RequestOptions>,
		_done: IoResult,
	) -> Box<
		dyn std::future::Future<
				Output = Result<(http::Response<WasiBody>, IoResult), wasmtime_wasi_http::Error>,
			> + Send,
	> {
		Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
	}
}

impl ResourceLimiter for Guest {
	fn memory_growing(
		&mut self,
		current: usize,
		desired: usize,
		_maximum: Option<usize>,
	) -> wasmtime::Result<bool> {
		// An error, not `false`: a guest that lives on without memory would fail in its own words.
		self.budget.grow_memory(desired.saturating_sub(current) as u64)?;
		Ok(true)
	}

	fn table_growing(
		&mut self,
		_current: usize,
		desired: usize,
		_maximum: Option<usize>,
	) -> wasmtime::Result<bool> {
		Ok(desired <= crate::limits::TABLE_ELEMENTS_MAX)
	}
}
