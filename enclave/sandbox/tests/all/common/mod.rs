//! A host in memory, and agents built for tests.

pub mod server;

use async_trait::async_trait;
use phala_agent_builder::{AgentFolder, Builder, BuiltAgent};
use phala_sandbox::egress::{EgressClient, EgressConfig};
use phala_sandbox::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).join("../..")
}

/// Builds the agent in `folder` (from the repository's root), once in a test program.
pub fn build(folder: &str) -> Arc<BuiltAgent> {
	static BUILT: OnceLock<Mutex<BTreeMap<String, Arc<BuiltAgent>>>> = OnceLock::new();
	let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
	built
		.entry(folder.to_owned())
		.or_insert_with(|| {
			let agent = AgentFolder::open(repository().join(folder)).unwrap();
			let builder = Builder::new(repository().join("clients/sdk-js"))
				.unwrap_or_else(|error| panic!("{error}"));
			Arc::new(builder.build(&agent).unwrap_or_else(|error| panic!("{folder}: {error}")))
		})
		.clone()
}

pub fn sandbox() -> &'static Sandbox {
	static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
	SANDBOX.get_or_init(|| Sandbox::new(SandboxConfig { instances_max: 16 }).unwrap())
}

/// One agent with its state, run request by request; each committed as soon as it ends.
pub struct TestAgent {
	pub loaded: LoadedAgent,
	pub manifest: Arc<Manifest>,
	pub host: Arc<TestHost>,
}

pub struct TestHost {
	pub state: Mutex<BTreeMap<String, Vec<u8>>>,
	pub secrets: BTreeMap<String, String>,
	pub egress: EgressClient,
	pub manifest: Arc<Manifest>,
	/// What each fetch was given, in milliseconds.
	pub fetch_timeouts_ms: Mutex<Vec<u64>>,
	/// What a call of any other agent runs.
	pub callee: Mutex<Option<Callee>>,
	seeds: AtomicU64,
}

#[derive(Clone)]
pub struct Callee {
	pub loaded: LoadedAgent,
	pub manifest: Arc<Manifest>,
	pub host: Arc<TestHost>,
}

pub const AGENT: [u8; 32] = [7; 32];

impl TestAgent {
	pub fn new(folder: &str) -> Self {
		Self::with(folder, |_| {}, BTreeMap::new(), Vec::new())
	}

	/// `loopback` are the `host:port`s that the dev preset would name.
	pub fn with(
		folder: &str,
		change: impl FnOnce(&mut Manifest),
		secrets: BTreeMap<String, String>,
		loopback: Vec<String>,
	) -> Self {
		let built = build(folder);
		let loaded = sandbox().load(&built.component).unwrap_or_else(|error| panic!("{error}"));
		let mut manifest = built.manifest.clone();
		change(&mut manifest);
		let manifest = Arc::new(manifest);
		let host = Arc::new(TestHost {
			state: Mutex::default(),
			secrets,
			egress: EgressClient::new(EgressConfig {
				dev_loopback_allowed: loopback,
				..Default::default()
			})
			.unwrap(),
			manifest: manifest.clone(),
			fetch_timeouts_ms: Mutex::default(),
			callee: Mutex::default(),
			seeds: AtomicU64::new(1),
		});
		Self { loaded, manifest, host }
	}

	pub async fn run(&self, request: HttpRequest) -> Result<Outcome, Box<FailedRunError>> {
		self.run_in(request, context()).await
	}

	pub async fn run_in(
		&self,
		request: HttpRequest,
		context: Context,
	) -> Result<Outcome, Box<FailedRunError>> {
		let invocation = Invocation::new(request, context, self.manifest.clone()).unwrap();
		let outcome = sandbox().run(&self.loaded, invocation, self.host.clone()).await?;
		let mut state = self.host.state.lock().unwrap();
		for (key, value) in &outcome.writes {
			match value {
				Some(value) => state.insert(key.clone(), value.clone()),
				None => state.remove(key),
			};
		}
		drop(state);
		Ok(outcome)
	}

	/// The answer to a GET, as text; panics with the log if there is none.
	pub async fn get(&self, path: &str) -> String {
		text(
			&self
				.run(get(path))
				.await
				.unwrap_or_else(|failure| panic!("{path}: {}", told(&failure))),
		)
	}
}

pub fn told(failure: &FailedRunError) -> String {
	let logs: Vec<_> = failure.logs.iter().map(|line| line.message.as_str()).collect();
	format!("{} {logs:?}", failure.error)
}

pub fn text(outcome: &Outcome) -> String {
	String::from_utf8(outcome.response.body.clone()).unwrap()
}

pub fn json(outcome: &Outcome) -> serde_json::Value {
	serde_json::from_slice(&outcome.response.body).unwrap()
}

pub fn context() -> Context {
	Context {
		agent: AGENT,
		caller: Some([9; 32]),
		request_id: [1; 32],
		block: BlockRef { number: 42, hash: [4; 32] },
		idempotency_key: "key-1".to_owned(),
		attempt: 1,
		call_depth: 0,
		writable: true,
		entropy_seed: None,
	}
}

pub fn request(method: &str, path: &str, body: impl Into<Vec<u8>>) -> HttpRequest {
	HttpRequest {
		method: method.to_owned(),
		path_and_query: path.to_owned(),
		headers: Vec::new(),
		body: body.into(),
	}
}

pub fn get(path: &str) -> HttpRequest {
	request("GET", path, "")
}

impl TestHost {
	/// Each run takes one seed.
	pub fn runs_seen(&self) -> u64 {
		self.seeds.load(Ordering::Relaxed) - 1
	}
}

#[async_trait]
impl Host for TestHost {
	async fn state_get(&self, key: String) -> Result<Option<Vec<u8>>, HostError> {
		Ok(self.state.lock().unwrap().get(&key).cloned())
	}

	async fn state_scan(&self, scan: StateScan) -> Result<Vec<StateEntry>, HostError> {
		let state = self.state.lock().unwrap();
		let entries = state
			.range(scan.prefix.clone()..)
			.take_while(|(key, _)| key.starts_with(&scan.prefix))
			.filter(|(key, _)| scan.after.as_ref().is_none_or(|after| *key > after))
			.take(scan.entries_max as usize);
		Ok(entries
			.map(|(key, value)| StateEntry { key: key.clone(), value: value.clone() })
			.collect())
	}

	async fn secret(&self, name: String) -> Result<Option<SecretValue>, HostError> {
		Ok(self.secrets.get(&name).cloned().map(SecretValue))
	}

	async fn fetch(
		&self,
		call: FetchCall,
		allowance: FetchAllowance,
	) -> Result<FetchReply, HostError> {
		self.fetch_timeouts_ms.lock().unwrap().push(call.timeout_ms);
		self.egress.fetch(&self.manifest.egress, call, &allowance).await
	}

	async fn call_agent(&self, call: AgentCall) -> AgentReply {
		let callee = self.callee.lock().unwrap().clone();
		let Some(callee) = callee else {
			return AgentReply::refused(HostError::new(RefusalKind::NotFound, "no such agent"));
		};
		let context = Context { caller: Some(AGENT), ..context() };
		let invocation = Invocation::of_call(call, context, callee.manifest).unwrap();
		AgentReply::of_run(sandbox().run(&callee.loaded, invocation, callee.host).await)
	}

	async fn entropy_seed(&self) -> Result<[u8; 32], HostError> {
		// Seeded, so that a failure repeats; a new one for each request.
		let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
		Ok(std::array::from_fn(|i| seed.to_le_bytes()[i % 8]))
	}
}
