//! The engine, its pool of instances, and the agents that are compiled.

use crate::error::SandboxError;
use crate::guest::Guest;
use crate::imports;
use crate::limits::*;
use phala_agent_manifest::limits::{MEMORY_BYTES_CEILING, STACK_BYTES};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

#[derive(Clone, Debug)]
pub struct SandboxConfig {
	/// Requests that run at once. The pool reserves address space (not memory) for each.
	pub instances_max: u32,
}

impl Default for SandboxConfig {
	fn default() -> Self {
		Self { instances_max: INSTANCES_MAX_DEFAULT }
	}
}

/// Runs agents. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
	engine: Engine,
	linker: Linker<Guest>,
	instances: Arc<Semaphore>,
	compiled: Mutex<Compiled>,
}

/// Compiled agents by code hash, and when each was last asked for.
#[derive(Default)]
struct Compiled {
	agents: HashMap<[u8; 32], (LoadedAgent, u64)>,
	clock: u64,
}

/// A compiled agent, ready to be instantiated.
#[derive(Clone)]
pub struct LoadedAgent(Arc<Loaded>);

struct Loaded {
	code_hash: [u8; 32],
	pre: ServicePre<Guest>,
}

impl LoadedAgent {
	/// blake2-256 of the component.
	pub fn code_hash(&self) -> [u8; 32] {
		self.0.code_hash
	}

	pub(crate) fn pre(&self) -> &ServicePre<Guest> {
		&self.0.pre
	}
}

impl Sandbox {
	pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
		let engine = Engine::new(&engine_config(&config)).map_err(SandboxError::Engine)?;
		let mut linker = Linker::new(&engine);
		link(&mut linker).map_err(SandboxError::Engine)?;
		start_epochs(&engine)?;
		let instances = Arc::new(Semaphore::new(config.instances_max as usize));
		Ok(Self(Arc::new(Shared { engine, linker, instances, compiled: Mutex::default() })))
	}

	/// Compiles a component, or finds it compiled already.
	///
	/// Compiling takes up to seconds of CPU time: call this where blocking is allowed.
	pub fn load(&self, code: &[u8]) -> Result<LoadedAgent, SandboxError> {
		if code.len() > CODE_BYTES_MAX {
			return Err(SandboxError::CodeTooLarge(code.len()));
		}
		let code_hash = sp_crypto_hashing::blake2_256(code);
		if let Some(agent) = self.loaded(&code_hash) {
			return Ok(agent);
		}
		let component =
			Component::from_binary(&self.0.engine, code).map_err(SandboxError::NotAComponent)?;
		let pre = self.0.linker.instantiate_pre(&component).map_err(SandboxError::Interface)?;
		let pre = ServicePre::new(pre).map_err(SandboxError::Interface)?;
		let agent = LoadedAgent(Arc::new(Loaded { code_hash, pre }));
		self.compiled().insert(agent.clone());
		Ok(agent)
	}

	/// An agent that is compiled already.
	pub fn loaded(&self, code_hash: &[u8; 32]) -> Option<LoadedAgent> {
		self.compiled().get(code_hash)
	}

	fn compiled(&self) -> std::sync::MutexGuard<'_, Compiled> {
		self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner)
	}

	pub(crate) fn engine(&self) -> &Engine {
		&self.0.engine
	}

	pub(crate) fn instances(&self) -> &Arc<Semaphore> {
		&self.0.instances
	}
}

impl Compiled {
	fn get(&mut self, code_hash: &[u8; 32]) -> Option<LoadedAgent> {
		self.clock += 1;
		let (agent, last_used) = self.agents.get_mut(code_hash)?;
		*last_used = self.clock;
		Some(agent.clone())
	}

	fn insert(&mut self, agent: LoadedAgent) {
		self.clock += 1;
		self.agents.insert(agent.code_hash(), (agent, self.clock));
		if self.agents.len() > COMPILED_AGENTS_MAX {
			let oldest = self
				.agents
				.iter()
				.min_by_key(|(_, (_, last_used))| *last_used)
				.map(|(hash, _)| *hash);
			if let Some(oldest) = oldest {
				self.agents.remove(&oldest);
			}
		}
	}
}

fn engine_config(config: &SandboxConfig) -> Config {
	let instances = config.instances_max;
	let mut pool = PoolingAllocationConfig::new();
	pool.total_component_instances(instances)
		.total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
		.total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
		.total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
		// A fiber for the request, and one for each of its tasks that is suspended in the host.
		.total_stacks(instances.saturating_mul(4))
		.max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
		.max_memories_per_component(MEMORIES_PER_COMPONENT)
		.max_tables_per_component(TABLES_PER_COMPONENT)
		.max_core_instance_size(CORE_INSTANCE_BYTES_MAX)
		.max_component_instance_size(COMPONENT_INSTANCE_BYTES_MAX)
		.table_elements(TABLE_ELEMENTS_MAX)
		.max_memory_size(MEMORY_BYTES_CEILING as usize)
		.linear_memory_keep_resident(MEMORY_KEPT_BYTES)
		.pagemap_scan(Enabled::Auto);
	let mut engine = Config::new();
	engine
		.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
		.wasm_component_model(true)
		.wasm_component_model_async(true)
		.epoch_interruption(true)
		.max_wasm_stack(STACK_BYTES as usize)
		.async_stack_size(FIBER_STACK_BYTES)
		.memory_init_cow(true);
	engine
}

/// What agents may import. Sockets are not among it, nor `wasi:http`'s own client.
fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
	use wasmtime_wasi::cli::{WasiCli, WasiCliView};
	use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
	use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
	use wasmtime_wasi::random::{WasiRandom, WasiRandomView};

	imports::add_to_linker(linker)?;
	wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(
		linker,
		Guest::http,
	)?;

	// WASI 0.3, for guests that use it.
	wasmtime_wasi::p3::cli::add_to_linker(linker)?;
	wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
	wasmtime_wasi::p3::random::add_to_linker(linker)?;

	// WASI 0.2: QuickJS's own runtime is made for it. The file system has no folder in it.
	wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
	cli::environment::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::exit::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::terminal_input::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::terminal_output::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
	filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(linker, Guest::filesystem)?;
	filesystem::types::add_to_linker::<Guest, WasiFilesystem>(linker, Guest::filesystem)?;
	random::insecure::add_to_linker::<Guest, WasiRandom>(linker, Guest::random)?;
	random::insecure_seed::add_to_linker::<Guest, WasiRandom>(linker, Guest::random)?;
	Ok(())
}

/// Moves the engine's epoch on until the engine is gone.
fn start_epochs(engine: &Engine) -> Result<(), SandboxError> {
	let engine = engine.weak();
	let tick = move || {
		while let Some(engine) = engine.upgrade() {
			engine.increment_epoch();
			drop(engine);
			std::thread::sleep(EPOCH_TICK);
		}
	};
	std::thread::Builder::new()
		.name("sandbox-epochs".to_owned())
		.spawn(tick)
		.map(drop)
		.map_err(|error| SandboxError::Engine(error.into()))
}
