//! How long a request takes in a fresh instance: p50, p99, and how many a second on all cores.
//!
//! By hand, in release: `cargo bench -p phala-sandbox`. The agent is `agents/hello`; the host answers
//! from memory. Nothing here passes or fails.

use async_trait::async_trait;
use phala_agent_builder::{AgentFolder, Builder};
use phala_sandbox::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WARM_UP: usize = 200;
const REQUESTS: usize = 5_000;
const CONCURRENT: usize = 16;

struct NoHost;

#[async_trait]
impl Host for NoHost {
	async fn state_get(&self, _: String) -> Result<Option<Vec<u8>>, HostError> {
		Ok(None)
	}
	async fn state_scan(&self, _: StateScan) -> Result<Vec<StateEntry>, HostError> {
		Ok(Vec::new())
	}
	async fn secret(&self, _: String) -> Result<Option<SecretValue>, HostError> {
		Ok(None)
	}
	async fn fetch(&self, _: FetchCall, _: FetchAllowance) -> Result<FetchReply, HostError> {
		Err(HostError::new(RefusalKind::Unavailable, "not in a benchmark"))
	}
	async fn call_agent(&self, _: AgentCall) -> AgentReply {
		AgentReply::refused(HostError::new(RefusalKind::Unavailable, "not in a benchmark"))
	}
	async fn entropy_seed(&self) -> Result<[u8; 32], HostError> {
		Ok([1; 32])
	}
}

fn invocation(method: &str, path: &str, manifest: &Arc<Manifest>) -> Invocation {
	let request = HttpRequest {
		method: method.to_owned(),
		path_and_query: path.to_owned(),
		headers: Vec::new(),
		body: Vec::new(),
	};
	let context = Context {
		agent: [1; 32],
		caller: None,
		request_id: [2; 32],
		block: BlockRef::default(),
		idempotency_key: String::new(),
		attempt: 1,
		call_depth: 0,
		writable: true,
		entropy_seed: None,
	};
	Invocation::new(request, context, manifest.clone()).expect("the example's limits are allowed")
}

fn print(what: &str, mut times: Vec<Duration>) {
	times.sort();
	let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
	println!("{what:<44} p50 {:.3} ms   p99 {:.3} ms", at(0.5), at(0.99));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
	let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
	let folder = AgentFolder::open(repository.join("agents/hello"))?;
	let started = Instant::now();
	let built = Builder::new(repository.join("clients/sdk-js"))?.without_cache().build(&folder)?;
	println!("build of the component: {:?}, {} bytes", started.elapsed(), built.component.len());

	let sandbox = Sandbox::new(SandboxConfig::default())?;
	let started = Instant::now();
	let agent = sandbox.load(&built.component)?;
	println!("compilation: {:?}", started.elapsed());
	let started = Instant::now();
	sandbox.load(&built.component)?;
	println!("compilation, cached: {:?}", started.elapsed());

	let manifest = Arc::new(built.manifest);
	let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
	for (what, method, path) in [
		("GET /, one at a time", "GET", "/"),
		("POST /count (state get and set)", "POST", "/count"),
	] {
		let mut times = Vec::with_capacity(REQUESTS);
		let mut cpu_us = 0;
		runtime.block_on(async {
			for i in 0..WARM_UP + REQUESTS {
				let invocation = invocation(method, path, &manifest);
				let started = Instant::now();
				let outcome = sandbox.run(&agent, invocation, Arc::new(NoHost)).await?;
				if i >= WARM_UP {
					times.push(started.elapsed());
					cpu_us += outcome.usage.cpu_us;
				}
			}
			Ok::<_, Box<FailedRunError>>(())
		})?;
		print(what, times);
		println!(
			"{:<44} mean {:.3} ms",
			"  of it CPU time as metered",
			cpu_us as f64 / REQUESTS as f64 / 1e3
		);
	}

	let started = Instant::now();
	let times = runtime.block_on(async {
		let mut tasks = tokio::task::JoinSet::new();
		for _ in 0..CONCURRENT {
			let (sandbox, agent, manifest) = (sandbox.clone(), agent.clone(), manifest.clone());
			tasks.spawn(async move {
				let mut times = Vec::new();
				for _ in 0..REQUESTS / CONCURRENT {
					let started = Instant::now();
					sandbox
						.run(&agent, invocation("GET", "/", &manifest), Arc::new(NoHost))
						.await?;
					times.push(started.elapsed());
				}
				Ok::<_, Box<FailedRunError>>(times)
			});
		}
		let mut times = Vec::new();
		while let Some(result) = tasks.join_next().await {
			times.extend(result??);
		}
		Ok::<_, Box<dyn std::error::Error>>(times)
	})?;
	let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
	print(&format!("GET /, {CONCURRENT} at a time"), times);
	println!("{per_second:.0} requests a second");
	Ok(())
}
